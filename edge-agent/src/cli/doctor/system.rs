//! What the system around the agent says: its process and limits, systemd, serial ports and who may
//! open them. Reads small files of `/proc`, `/sys` and `/etc`; never starts a program.

use super::finding::Findings;
use crate::cli::status::rounded;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Open files that the agent should be allowed; its unit asks for this and more.
const FILES_MIN: u64 = 1_024;
/// Share of the memory it may use, in percent, from which on it is told.
const MEMORY_PERCENT_MAX: u64 = 90;
/// Processes that are looked at.
const PROCESSES_MAX: usize = 100_000;
const UNIT: &str = "edge-agent.service";
const UNIT_FOLDERS: [&str; 3] = [
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The system whose files are below this folder: `/`, but for tests.
#[derive(Clone, Debug)]
pub(super) struct System {
    root: PathBuf,
}

/// A user as the system sees one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    id: u32,
    groups: BTreeSet<u32>,
}

impl System {
    /// The system whose `/` is `root`.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The agent's process with its limits, and whether it starts by itself.
    pub(super) fn examine(&self, answers: bool, found: &mut Findings) {
        self.unit(found);
        match self.agent_process() {
            Some(process) => self.limits(&process, found),
            None if answers => {
                found.fine(
                    "process",
                    "The agent answers; its process is not visible from here.",
                );
            }
            None => {}
        }
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn unit(&self, found: &mut Findings) {
        if !self.root.join("run/systemd/system").is_dir() {
            return;
        }
        let there = |folder: &&str| self.root.join(folder).join(UNIT).exists();
        if !UNIT_FOLDERS.iter().any(there) {
            found.attention(
                "systemd",
                "There is no unit edge-agent.service: after a power cut nobody starts the agent.",
                "Install systemd/edge-agent.service, then: systemctl enable --now edge-agent",
            );
            return;
        }
        let wanted = self.root.join("etc/systemd/system/multi-user.target.wants");
        if fs::symlink_metadata(wanted.join(UNIT)).is_ok() {
            found.fine("systemd", "The agent starts by itself with the box.");
        } else {
            found.attention(
                "systemd",
                "edge-agent.service is not enabled: after a power cut nobody starts the agent.",
                "systemctl enable edge-agent",
            );
        }
    }

    /// The folder in `/proc` of the first process that is `edge-agent run`.
    fn agent_process(&self) -> Option<PathBuf> {
        let processes = fs::read_dir(self.root.join("proc")).ok()?;
        processes
            .flatten()
            .take(PROCESSES_MAX)
            .map(|entry| entry.path())
            .find(|process| {
                let line = fs::read(process.join("cmdline")).unwrap_or_default();
                let mut words = line.split(|byte| *byte == 0);
                let program = words.next().unwrap_or_default();
                let own = program.rsplit(|byte| *byte == b'/').next();
                own == Some(b"edge-agent".as_slice()) && words.any(|word| word == b"run")
            })
    }

    fn limits(&self, process: &Path, found: &mut Findings) {
        let limits = fs::read_to_string(process.join("limits")).unwrap_or_default();
        let files = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|word| word.parse::<u64>().ok());
        if let Some(files) = files.filter(|files| *files < FILES_MIN) {
            found.attention(
                "process",
                format!("The agent may open only {files} files; many ports and pages need more."),
                "Write LimitNOFILE=4096 into its unit.",
            );
        }
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|word| word.trim().parse::<u64>().ok())
            .map_or(0, |kib| kib * 1_024);
        self.memory(process, resident, found);
    }

    /// The memory that the agent has and may have, and whether the system ended it for want of it.
    fn memory(&self, process: &Path, resident: u64, found: &mut Findings) {
        let group = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let group = group.lines().find_map(|line| line.strip_prefix("0::/"));
        let folder = Path::new("sys/fs/cgroup").join(group.unwrap_or_default());
        let number = |file: &str| self.read(folder.join(file))?.trim().parse::<u64>().ok();
        let killed = self
            .read(folder.join("memory.events"))
            .and_then(|text| {
                let mut lines = text.lines();
                lines.find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
            })
            .unwrap_or(0);
        let (now, max) = (number("memory.current"), number("memory.max"));
        let shown = rounded(resident);
        match (now, max) {
            _ if killed > 0 => found.wrong(
                "memory",
                format!("The system ended a process of the agent's group {killed} times for want of memory."),
                "Raise MemoryMax in its unit, or poll fewer sensors.",
            ),
            (Some(now), Some(max)) if now.saturating_mul(100) > max.saturating_mul(MEMORY_PERCENT_MAX) => {
                found.attention(
                    "memory",
                    format!("The agent's group has {} of the {} that it may have.", rounded(now), rounded(max)),
                    "Raise MemoryMax in its unit, or poll fewer sensors.",
                );
            }
            (_, Some(max)) => found.fine("memory", format!("The agent has {shown}; it may have {}.", rounded(max))),
            _ => found.fine("memory", format!("The agent has {shown}; nothing limits it.")),
        }
    }

    /// Whether the serial line of a port is there and may be opened, by this user and by the agent.
    pub(super) fn serial(&self, port: &str, path: &Path, found: &mut Findings) {
        let place = format!("port {port}");
        let shown = path.display();
        let Ok(device) = fs::metadata(path) else {
            let others = self.serial_lines();
            let remedy = if others.is_empty() {
                "The adapter is unplugged or not known to the system; `dmesg` tells when it comes."
                    .to_owned()
            } else {
                format!(
                    "Plug the adapter in, or name another one. Those that are there: {}",
                    others.join(", ")
                )
            };
            found.wrong(&place, format!("{shown} is not there."), remedy);
            return;
        };
        if !device.file_type().is_char_device() {
            found.wrong(
                &place,
                format!("{shown} is no serial line but an ordinary file or folder."),
                "Name the serial line, for example /dev/ttyUSB0.",
            );
            return;
        }
        let may = |user: &User| {
            let mode = device.permissions().mode();
            let bits = if user.id == device.uid() {
                mode >> 6
            } else if user.groups.contains(&device.gid()) {
                mode >> 3
            } else {
                mode
            };
            user.id == 0 || bits & 0o6 == 0o6
        };
        let group = self.group_name(device.gid());
        let agent = self.agent_process().and_then(|process| user_of(&process));
        let own = user_of(&self.root.join("proc/self"));
        let name = if agent.is_some() {
            "the agent"
        } else {
            "this user"
        };
        match agent.or(own) {
            Some(user) if !may(&user) => found.wrong(
                &place,
                format!("{shown} belongs to the group {group}, and {name} may not open it."),
                format!("usermod --append --groups {group} USER, then start the agent again (or sign in anew)."),
            ),
            _ => found.fine(&place, format!("{shown} is there and may be opened.")),
        }
    }

    /// Serial lines by names that stay, else by those of the kernel.
    fn serial_lines(&self) -> Vec<String> {
        let list = |folder: &str, begin: &str| {
            let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten();
            let mut names: Vec<String> = entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(begin))
                .map(|entry| entry.path().display().to_string())
                .collect();
            names.sort();
            names
        };
        let stable = list("dev/serial/by-id", "");
        if !stable.is_empty() {
            return stable;
        }
        [list("dev", "ttyUSB"), list("dev", "ttyACM")].concat()
    }

    fn group_name(&self, id: u32) -> String {
        let text = self.read("etc/group").unwrap_or_default();
        let named = text.lines().find_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            (parts.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
        });
        named.unwrap_or_else(|| id.to_string())
    }
}

/// The user of a process and its groups.
fn user_of(process: &Path) -> Option<User> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    // Real, effective, saved, file system: the effective one counts.
    let effective = |name| line(name)?.split_whitespace().nth(1)?.parse::<u32>().ok();
    let mut groups: BTreeSet<u32> = line("Groups:")?
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    groups.extend(effective("Gid:"));
    Some(User {
        id: effective("Uid:")?,
        groups,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Rank;
    use super::*;

    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System::new(folder.path());
        (folder, system)
    }

    const PROCESS: [(&str, &str); 4] = [
        ("proc/7/cmdline", "/usr/bin/edge-agent\0run\0--config\0a"),
        (
            "proc/7/limits",
            "Limit Soft Hard\nMax open files            256  4096  files\n",
        ),
        (
            "proc/7/status",
            "Uid:\t998\t998\t998\t998\nGid:\t998\t998\t998\t998\nGroups:\t20 998\nVmRSS:\t  16000 kB\n",
        ),
        ("proc/7/cgroup", "0::/system.slice/edge-agent.service\n"),
    ];

    #[test]
    fn limits_memory_and_the_unit_are_told() {
        let group = "sys/fs/cgroup/system.slice/edge-agent.service";
        let (current, max) = (
            format!("{group}/memory.current"),
            format!("{group}/memory.max"),
        );
        let events = format!("{group}/memory.events");
        let mut files = PROCESS.to_vec();
        files.extend([
            (current.as_str(), "250000000\n"),
            (&max, "256000000\n"),
            ("run/systemd/system/x", ""),
            ("usr/lib/systemd/system/edge-agent.service", ""),
        ]);
        let (_folder, with_unit) = system(&files);
        let mut found = Findings::default();
        with_unit.examine(true, &mut found);
        assert!(found.about("process").what.contains("only 256 files"));
        assert_eq!(
            found.about("memory").rank,
            Rank::Attention,
            "{}",
            found.words()
        );
        assert!(found.about("systemd").what.contains("not enabled"));
        files.push((&events, "low 0\noom_kill 3\n"));
        files.push((
            "etc/systemd/system/multi-user.target.wants/edge-agent.service",
            "",
        ));
        let (_folder, ended) = system(&files);
        let mut found = Findings::default();
        ended.examine(true, &mut found);
        assert!(found.about("memory").what.contains("3 times"));
        assert_eq!(found.about("systemd").rank, Rank::Fine);
    }

    #[test]
    fn a_serial_line_that_is_gone_names_those_that_are_there() {
        let name = "dev/serial/by-id/usb-FTDI_A1";
        let (folder, system) = system(&[(name, ""), ("etc/group", "dialout:x:20:eva\n")]);
        let mut found = Findings::default();
        system.serial("line-a", &folder.path().join("dev/ttyUSB9"), &mut found);
        let told = found.about("port line-a");
        assert_eq!(told.rank, Rank::Wrong);
        assert!(told.what.contains("ttyUSB9 is not there"));
        assert!(told.remedy.contains(name), "{told:?}");
        system.serial("line-b", &folder.path().join(name), &mut found);
        assert!(found.about("port line-b").what.contains("no serial line"));
        assert_eq!(system.group_name(20), "dialout");
        assert_eq!(system.group_name(21), "21");
    }

    #[test]
    fn who_may_open_a_line_is_told_by_the_agents_own_groups() {
        // Everybody may open it, as a tty that is nobody's.
        let (_folder, system) = system(&PROCESS);
        let mut found = Findings::default();
        system.serial("line-a", Path::new("/dev/zero"), &mut found);
        assert_eq!(found.about("port line-a").rank, Rank::Fine);
        system.serial("line-b", Path::new("/dev/kmsg"), &mut found);
        if Path::new("/dev/kmsg").exists() {
            let told = found.about("port line-b");
            assert_eq!(told.rank, Rank::Wrong, "{told:?}");
            assert!(told.what.contains("the agent may not open it"), "{told:?}");
        }
    }
}
