//! Where the repository, the built programs and the tools of `make setup` are. Never builds or
//! installs anything: when something is missing, the error names the command that brings it.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Top of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A program of this workspace, built with the same profile as the one that asks.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("asking for the path of this program")?;
    // Tests lie in target/<profile>/deps, programs one folder higher.
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|p| p.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "the program {name} is not built beside {}: run `cargo build --workspace --bins` \
             (with the same profile) first, or `make test`, which does it",
            own.display()
        ),
    }
}

/// The Python of `make setup`, which has the third-party peers.
pub fn python() -> Result<PathBuf> {
    let path = repository().join("build/venv/bin/python");
    if path.is_file() {
        Ok(path)
    } else {
        bail!("{} is missing: run `make setup`", path.display())
    }
}

/// A third-party peer that `make peers` compiles from `tests/harness/peers`.
pub fn peer(name: &str) -> Result<PathBuf> {
    let path = repository().join("build/peers").join(name);
    if path.is_file() {
        Ok(path)
    } else {
        bail!("{} is missing: run `make peers`", path.display())
    }
}

/// A recorded series of `tests/data`.
pub fn data(file: &str) -> PathBuf {
    repository().join("tests/data").join(file)
}
