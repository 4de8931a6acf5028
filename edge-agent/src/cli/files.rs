//! Files that people own, written whole: the old one stays beside, with `.before` at the end of its
//! name. Never leaves half a file.

use anyhow::Context as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Replaces the text of a file, which keeps its permissions.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (before, new) = (with(".before"), with(".new"));
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let is_there = path.exists();
    let written = || -> std::io::Result<()> {
        let mut file = fs::File::create(&new)?;
        if is_there {
            fs::copy(path, &before)?;
            fs::set_permissions(&new, fs::metadata(path)?.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(folder)?.sync_all()
    };
    written().with_context(|| format!("writing {}", path.display()))
}
