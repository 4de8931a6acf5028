//! A small virtual machine whose power can be cut: Debian's kernel, busybox, and the real agent
//! on a disk of the test's choice. What it needs is brought by `make test-power`. The processor is
//! emulated, always: a device node of KVM does not mean that a kernel runs on it.

use crate::{Program, VolatileDisk, places, ports};
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Port of the box's page inside the guest.
pub const PAGE_PORT: u16 = 8_080;
/// Where the guest finds the host's loopback.
pub const HOST: &str = "10.0.2.2";
/// The guest's own address.
pub const OWN: &str = "10.0.2.15";
const MEMORY: &str = "256M";
/// Takes the place of `fsync` and its relatives: what `synchronous=OFF` is to the database.
const NO_SYNC_C: &str =
    "int fsync(int f){(void)f;return 0;}\nint fdatasync(int f){(void)f;return 0;}\n";
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "guest: $module is not taken"; done
ip link set lo up
ip link set eth0 up
ip addr add OWN/24 dev eth0
ip route add default via HOST
mount -t ext4 /dev/vda /box || { echo 'guest: the disk does not mount'; poweroff -f; }
/bin/edge-agent simulate --listen 127.0.0.1:5020 >/dev/null 2>&1 &
cd /box
if grep -q no_sync /proc/cmdline; then export LD_PRELOAD=/lib/no_sync.so; fi
/bin/edge-agent run --config /box/edge.toml
echo "guest: the agent ended with $?"
poweroff -f
"#;

/// What all guests of a test share: the kernel and the first file system in memory.
#[derive(Debug)]
pub struct Machine {
    kernel: PathBuf,
    initramfs: PathBuf,
    folder: PathBuf,
}

/// How the agent's file calls behave in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// As the system has them.
    Real,
    /// `fsync` does nothing: the check that the test would see a loss.
    Off,
}

/// One run from power-on to power-off.
#[derive(Debug)]
pub struct Guest {
    qemu: Program,
    page: SocketAddr,
}

impl Machine {
    /// Puts it together in `folder`; says what is missing and how to get it.
    pub fn prepare(folder: &Path) -> Result<Self> {
        let parts = places::repository().join("build/power");
        let kernel = parts.join("vmlinuz");
        for needed in [&kernel, &parts.join("modules"), Path::new("/bin/busybox")] {
            let words = "is missing: run `make test-power`, which brings it";
            ensure!(needed.exists(), "{} {words}", needed.display());
        }
        let root = folder.join("initramfs");
        for name in ["bin", "lib", "modules", "proc", "dev", "box", "tmp"] {
            std::fs::create_dir_all(root.join(name)).context("making the guest's folders")?;
        }
        let agent = places::program("edge-agent")?;
        copy(Path::new("/bin/busybox"), &root.join("bin/busybox"))?;
        copy(&agent, &root.join("bin/edge-agent"))?;
        for library in libraries(&agent)? {
            let inside = library.strip_prefix("/").unwrap_or(&library);
            copy(&library, &root.join(inside))?;
        }
        for module in std::fs::read_dir(parts.join("modules"))?.flatten() {
            copy(
                &module.path(),
                &root.join("modules").join(module.file_name()),
            )?;
        }
        let source = folder.join("no_sync.c");
        std::fs::write(&source, NO_SYNC_C)?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]);
        run(cc.arg(root.join("lib/no_sync.so")).arg(&source))?;
        let words = INIT.replace("OWN", OWN).replace("HOST", HOST);
        let initramfs = pack(&root, &words)?;
        Ok(Self {
            kernel,
            initramfs,
            folder: folder.to_path_buf(),
        })
    }

    /// Makes an ext4 image with the contents of `from`.
    pub fn image(&self, from: &Path, megabytes: u32) -> Result<PathBuf> {
        let image = self.folder.join("disk.img");
        let mut command = Command::new("/sbin/mkfs.ext4");
        command.args(["-q", "-F", "-d"]).arg(from).arg(&image);
        run(command.arg(format!("{megabytes}M")))?;
        Ok(image)
    }

    /// Switches a guest on.
    pub fn start(&self, disk: &VolatileDisk, sync: Sync) -> Result<Guest> {
        let page = ports::free()?;
        let mut command = Command::new("qemu-system-x86_64");
        let mut words = "console=ttyS0 quiet panic=-1 random.trust_cpu=on".to_owned();
        // An emulated timer may be late on a loaded machine; the kernel must not give up on it.
        words.push_str(" no_timer_check mitigations=off");
        if sync == Sync::Off {
            words.push_str(" no_sync");
        }
        command
            .args([
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "Nehalem",
                "-m",
                MEMORY,
            ])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs)
            .args(["-append", &words, "-blockdev"])
            .arg(format!(
                "driver=nbd,node-name=disk,server.type=unix,server.path={}",
                disk.socket().display()
            ))
            .args(["-device", "virtio-blk-pci,drive=disk", "-netdev"])
            .arg(format!("user,id=net,hostfwd=tcp:{page}-{OWN}:{PAGE_PORT}"))
            .args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        let qemu = Program::start("guest", command, &self.folder)
            .context("qemu-system-x86_64 is missing or does not start: run `make test-power`")?;
        Ok(Guest { qemu, page })
    }

    /// The files of the box as they are on `image` once its file system is repaired as a system
    /// does it at start; the image itself stays as it is. Gives their folder.
    pub fn look_into(&self, image: &Path) -> Result<PathBuf> {
        let copy_of = self.folder.join("look.img");
        std::fs::copy(image, &copy_of).context("copying the image of the disk")?;
        let checked = Command::new("/sbin/e2fsck")
            .args(["-f", "-y"])
            .arg(&copy_of)
            .output()
            .context("e2fsck is missing: run `make test-power`")?;
        // 0: clean, 1: repaired (the journal was played back).
        ensure!(
            matches!(checked.status.code(), Some(0 | 1)),
            "the file system is beyond repair: {}",
            String::from_utf8_lossy(&checked.stdout)
        );
        let look = self.folder.join("look");
        if look.exists() {
            std::fs::remove_dir_all(&look).context("removing the last look")?;
        }
        std::fs::create_dir(&look).context("making a folder")?;
        let mut command = Command::new("/sbin/debugfs");
        let request = format!("rdump /data {}", look.display());
        run(command.args(["-R", &request]).arg(&copy_of))?;
        Ok(look.join("data"))
    }
}

impl Guest {
    /// Where its page is on this machine.
    pub fn page(&self) -> SocketAddr {
        self.page
    }

    /// The virtual machine, for its console and its end.
    pub fn qemu(&mut self) -> &mut Program {
        &mut self.qemu
    }
}

/// Makes the first file system of a guest of the folder `root`, with `init` as what begins; gives
/// its file, which lies beside the folder.
pub(crate) fn pack(root: &Path, init: &str) -> Result<PathBuf> {
    let file = root.join("init");
    std::fs::write(&file, init).context("writing the guest's first program")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    let initramfs = root.with_extension("cpio");
    let pack = "find . | /bin/busybox cpio -o -H newc >\"$0\"";
    let mut shell = Command::new("sh");
    run(shell.args(["-c", pack]).arg(&initramfs).current_dir(root))?;
    Ok(initramfs)
}

/// The shared libraries of a program, with their loader.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.context("asking for the libraries of the agent")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).context("making a folder of the guest")?;
    }
    let copied = std::fs::copy(from, to);
    copied.with_context(|| format!("copying {} into the guest", from.display()))?;
    Ok(())
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output();
    let output = output.with_context(|| format!("running {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {said}");
    Ok(())
}
