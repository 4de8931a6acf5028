//! Build script of both programs: embeds the built pages of `web/dist/<entry>` into the binary.
//! Never runs Node: when the pages are not built, an empty list is embedded and the program says how.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a build script talks to cargo on its standard output and may stop the build"
)]

use std::{env, fs, path::Path};

fn main() {
    let entry = if env::var("CARGO_PKG_NAME").as_deref() == Ok("edge-agent") {
        "edge"
    } else {
        "hub"
    };
    let manifest = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let folder = Path::new(&manifest).join("../web/dist").join(entry);
    println!("cargo:rerun-if-changed=../web/embed.rs");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(&folder, &folder, &mut files);
    files.sort();
    let lines: Vec<String> = files
        .iter()
        .map(|(name, path)| format!("({name:?}, include_bytes!({path:?}).as_slice()),"))
        .collect();
    let code = format!("&[{}]", lines.join("\n"));
    let out = env::var("OUT_DIR").unwrap_or_default();
    fs::write(Path::new(&out).join("pages.rs"), code).expect("the build folder takes a file");
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if let (Ok(name), Ok(full)) = (path.strip_prefix(root), path.canonicalize()) {
            files.push((format!("/{}", name.display()), full.display().to_string()));
        }
    }
}
