//! A small disk in memory at a folder of a test, which somebody else can fill. Mounting one needs
//! root, or namespaces in which this user is root; where neither is to be had, it says so.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Set in the process that runs in namespaces of its own.
const INSIDE: &str = "CHATTERFIX_OWN_MOUNTS";

/// The disk; let go when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None` when this user may not mount anything.
    pub fn mount(folder: &Path, megabytes: u32) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder).context("making the folder of the small disk")?;
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(folder);
        let output = command.output();
        if output.is_ok_and(|output| output.status.success()) {
            let folder = folder.to_path_buf();
            return Ok(Some(Self { folder }));
        }
        Ok(None)
    }

    /// Runs the test of this name of this test program once more, as root of its own namespaces,
    /// when it may not mount here. `None`: run on here, or nowhere if that does not help either.
    pub fn run_inside(test: &str) -> Result<Option<ExitStatus>> {
        if rustix::process::getuid().is_root() || std::env::var_os(INSIDE).is_some() {
            return Ok(None);
        }
        let mut try_it = Command::new("unshare");
        try_it.args(["--map-root-user", "--mount", "true"]);
        if !try_it.status().is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let own = std::env::current_exe().context("asking for the path of this program")?;
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount"])
            .arg(own)
            .args(["--exact", "--nocapture", test])
            .env(INSIDE, "1");
        let status = command.status().context("running the test again")?;
        Ok(Some(status))
    }

    /// Leaves no room on it.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler()).context("making the filler")?;
        for piece in [[0; 4_096].as_slice(), &[0; 1]] {
            while file.write_all(piece).is_ok() {}
        }
        Ok(())
    }

    /// Makes room again.
    pub fn free(&self) -> Result<()> {
        std::fs::remove_file(self.filler()).context("removing the filler")
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The programs may still be there when a test fails: let go of the name at least.
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(&self.folder)
                .status(),
        );
    }
}
