//! Which `/dev/tty…` an adapter has today: looked up in the kernel's device tree (`/sys/class/tty`)
//! by serial number or by the socket it is plugged into. Never takes the first that comes: when
//! several fit, it says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where `sys` and `dev` are.
pub(super) const SYSTEM_ROOT: &str = "/";
/// Serial ports looked at; a machine has hundreds of virtual consoles beside them.
const PORTS_MAX: usize = 4_096;
/// Ports named in one message.
const NAMED_MAX: usize = 8;
/// Folders between a port and its USB adapter at most.
const DEPTH_MAX: usize = 12;

/// A serial port that has hardware.
struct Found {
    name: String,
    /// Folder of its device in the kernel's tree.
    device: PathBuf,
    usb_serial: Option<String>,
}

/// The device file of the one port that fits.
pub(super) fn find(
    root: &Path,
    usb_serial: Option<&str>,
    by_path: Option<&str>,
) -> io::Result<PathBuf> {
    let ports = ports(root)?;
    let fits = |port: &&Found| {
        let number = port.usb_serial.as_deref().unwrap_or_default();
        usb_serial.is_none_or(|pattern| !number.is_empty() && matches(pattern, number))
            && by_path.is_none_or(|pattern| is_at(pattern, &port.device))
    };
    let fitting: Vec<&Found> = ports.iter().filter(fits).collect();
    match fitting.as_slice() {
        [port] => Ok(root.join("dev").join(&port.name)),
        [] => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no such port now; there is {}", listed(ports.iter())),
        )),
        several => Err(io::Error::other(format!(
            "several ports fit: {}; write by_path too",
            listed(several.iter().copied())
        ))),
    }
}

fn listed<'a>(ports: impl Iterator<Item = &'a Found>) -> String {
    let words = ports.take(NAMED_MAX).map(|port| match &port.usb_serial {
        Some(serial) => format!("{} (USB serial number {serial})", port.name),
        None => port.name.clone(),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn ports(root: &Path) -> io::Result<Vec<Found>> {
    let class = root.join("sys/class/tty");
    let entries = fs::read_dir(&class)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", class.display())))?;
    let mut ports = Vec::new();
    for entry in entries.take(PORTS_MAX) {
        let entry = entry?;
        // A console has no device behind it.
        let Ok(device) = fs::canonicalize(entry.path().join("device")) else {
            continue;
        };
        let usb_serial = usb_serial(&device);
        let name = entry.file_name().to_string_lossy().into_owned();
        ports.push(Found {
            name,
            device,
            usb_serial,
        });
    }
    ports.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(ports)
}

/// The serial number of the nearest USB device above; a hub further up has its own, which is not
/// meant.
fn usb_serial(device: &Path) -> Option<String> {
    let adapter = device
        .ancestors()
        .take(DEPTH_MAX)
        .find(|folder| folder.join("idVendor").exists())?;
    let text = fs::read_to_string(adapter.join("serial")).ok()?;
    Some(text.trim().to_owned()).filter(|serial| !serial.is_empty())
}

/// Whether one of the folders on the way to the device has such a name.
fn is_at(pattern: &str, device: &Path) -> bool {
    device
        .iter()
        .any(|part| matches(pattern, &part.to_string_lossy()))
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    while let Some((part, more)) = rest.split_once('*') {
        let Some((_, behind)) = text.split_once(part) else {
            return false;
        };
        (text, rest) = (behind, more);
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A tree as the kernel makes it: two FTDI adapters on a hub, one UART, one console.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            tree.adapter("ttyUSB0", "1-1.2", Some("FT4X1ABC"));
            tree.adapter("ttyUSB1", "1-1.3", Some("FT9Z"));
            tree.add("ttyS0", "platform/fe201000.serial");
            fs::create_dir_all(tree.0.path().join("sys/class/tty/tty1")).unwrap();
            tree
        }

        fn root(&self) -> &Path {
            self.0.path()
        }

        fn add(&self, name: &str, device: &str) {
            let device = self.root().join("sys/devices").join(device);
            fs::create_dir_all(&device).unwrap();
            let class = self.root().join("sys/class/tty").join(name);
            fs::create_dir_all(&class).unwrap();
            symlink(device, class.join("device")).unwrap();
        }

        fn adapter(&self, name: &str, socket: &str, serial: Option<&str>) {
            let hub = self.root().join("sys/devices/pci0/usb1/1-1");
            let usb = hub.join(socket);
            self.add(name, &format!("pci0/usb1/1-1/{socket}/{socket}:1.0/{name}"));
            for folder in [&hub, &usb] {
                fs::write(folder.join("idVendor"), "0403\n").unwrap();
            }
            fs::write(hub.join("serial"), "HUB1\n").unwrap();
            if let Some(serial) = serial {
                fs::write(usb.join("serial"), format!("{serial}\n")).unwrap();
            }
        }

        fn unplug(&self, name: &str) {
            fs::remove_dir_all(self.root().join("sys/class/tty").join(name)).unwrap();
        }
    }

    #[test]
    fn an_adapter_is_found_under_whatever_name_it_has_now() {
        let tree = Tree::new();
        let found = |serial, path| find(tree.root(), serial, path).map_err(|e| e.to_string());
        let dev = |name| Ok(tree.root().join("dev").join(name));
        assert_eq!(found(Some("FT4X1*"), None), dev("ttyUSB0"));
        assert_eq!(found(None, Some("1-1.3")), dev("ttyUSB1"));
        assert_eq!(found(None, Some("1-1.3:*")), dev("ttyUSB1"));
        assert_eq!(found(None, Some("fe2*.serial")), dev("ttyS0"));
        tree.unplug("ttyUSB0");
        let words = found(Some("FT4X1*"), None).unwrap_err();
        assert!(
            words.contains("ttyUSB1 (USB serial number FT9Z)"),
            "{words}"
        );
        // Plugged in elsewhere, it has another name.
        tree.adapter("ttyUSB7", "1-1.4", Some("FT4X1ABC"));
        assert_eq!(found(Some("FT4X1*"), None), dev("ttyUSB7"));
    }

    #[test]
    fn two_that_fit_are_told_and_a_hubs_number_is_not_an_adapters() {
        let tree = Tree::new();
        let words = find(tree.root(), Some("FT*"), None)
            .unwrap_err()
            .to_string();
        assert!(words.contains("several ports fit: ttyUSB0"), "{words}");
        assert_eq!(
            find(tree.root(), Some("FT*"), Some("1-1.2")).unwrap(),
            tree.root().join("dev/ttyUSB0")
        );
        tree.adapter("ttyUSB2", "1-1.5", None);
        assert!(find(tree.root(), Some("HUB1"), None).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
