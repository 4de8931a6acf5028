//! A small virtual machine with one real serial port driver: the kernel's own for a PL011 (arm64) or
//! a 16550 (x86). Its port is a pseudo terminal of this machine, its registers are watched: what
//! the driver does with RTS, and when it sends and receives, in order. The guest's own words go
//! over another console. What it needs is brought by `make test-rs485`.

use crate::guest::{HOST, OWN, PAGE_PORT, copy, libraries, pack};
use crate::{Program, places, ports};
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INIT: &str = r"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
exec >/dev/hvc0 2>&1
mount -t tmpfs tmpfs /box
cp /config/* /box
ip link set lo up
ip link set eth0 up
ip addr add OWN/24 dev eth0
ip route add default via HOST
cd /box
/bin/edge-agent run --config /box/edge.toml
echo guest: the agent ended with $?
poweroff -f
";
/// The agent stands in it twice while the first file system is unpacked.
const MEMORY: &str = "512M";
/// What programs for arm64 need beside themselves, from Debian's cross compiler.
const ARM_LIBRARIES: [&str; 4] = [
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
];
/// RTS in the control register of a PL011 (UARTCR, PL011 TRM 3.3.8).
const PL011_RTS: u32 = 1 << 11;
/// RTS and the loop for tests in the modem control register of a 16550 (MCR).
const MCR_RTS: u32 = 1 << 1;
const MCR_LOOP: u32 = 1 << 4;
/// In the line control register of a 16550 (LCR): registers 0 and 1 are the divisor of the baud rate.
const LCR_DIVISOR: u32 = 1 << 7;

/// Which serial port the guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uart {
    /// On an arm64 machine; its driver switches RS-485.
    Pl011,
    /// On an x86 machine; its driver does not.
    Ns16550,
}

/// Something that happened at the serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The driver set RTS.
    Rts(bool),
    /// A byte was given to the port to be sent.
    Sent(u8),
    /// A byte came in.
    Received,
}

/// The same with its time since some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Happened,
}

/// The running guest.
#[derive(Debug)]
pub struct SerialGuest {
    qemu: Program,
    page: SocketAddr,
    uart: Uart,
    trace: PathBuf,
}

impl Uart {
    /// The device file of the port inside the guest.
    pub fn path(self) -> &'static str {
        match self {
            Self::Pl011 => "/dev/ttyAMA0",
            Self::Ns16550 => "/dev/ttyS0",
        }
    }

    fn parts(self) -> PathBuf {
        places::repository().join(match self {
            Self::Pl011 => "build/rs485/arm64",
            Self::Ns16550 => "build/rs485/x86",
        })
    }

    /// The agent that runs on it, with its libraries.
    fn agent(self) -> Result<(PathBuf, Vec<PathBuf>)> {
        match self {
            Self::Pl011 => {
                let folder = places::repository().join("target/arm64/aarch64-unknown-linux-gnu");
                let libraries = Path::new("/usr/aarch64-linux-gnu/lib");
                let libraries = ARM_LIBRARIES.map(|name| libraries.join(name)).to_vec();
                Ok((folder.join("debug/edge-agent"), libraries))
            }
            Self::Ns16550 => {
                let agent = places::program("edge-agent")?;
                let libraries = libraries(&agent)?;
                Ok((agent, libraries))
            }
        }
    }

    fn qemu(self) -> Command {
        let (program, machine) = match self {
            Self::Pl011 => (
                "qemu-system-aarch64",
                &["-machine", "virt", "-cpu", "cortex-a53"][..],
            ),
            Self::Ns16550 => ("qemu-system-x86_64", &["-cpu", "Nehalem"][..]),
        };
        let mut command = Command::new(program);
        command.args(machine);
        command
    }

    /// Which of qemu's notes on the port's registers are written down.
    fn notes(self) -> &'static [&'static str] {
        match self {
            Self::Pl011 => &["pl011_write", "pl011_put_fifo"],
            Self::Ns16550 => &["serial_write", "serial_read"],
        }
    }
}

impl SerialGuest {
    /// Puts it together in `folder` and switches it on. Its agent runs with `config`; its port is `line`.
    pub fn start(
        folder: &Path,
        uart: Uart,
        (config, access_code): (&str, &str),
        line: &Path,
    ) -> Result<Self> {
        let initramfs = first_file_system(folder, uart, config, access_code)?;
        let page = ports::free()?;
        let trace = folder.join("registers.log");
        let mut command = uart.qemu();
        let words =
            "console=hvc0 quiet panic=-1 random.trust_cpu=on no_timer_check mitigations=off";
        command
            .args(["-accel", "tcg,thread=multi", "-m", MEMORY])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-msg", "timestamp=on"])
            .arg("-kernel")
            .arg(uart.parts().join("vmlinuz"))
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", words, "-chardev"])
            .arg(format!("serial,id=line,path={}", line.display()))
            .args(["-serial", "chardev:line"])
            .args(["-chardev", "stdio,id=words"])
            .args(["-device", "virtio-serial-pci"])
            .args(["-device", "virtconsole,chardev=words", "-netdev"])
            .arg(format!("user,id=net,hostfwd=tcp:{page}-{OWN}:{PAGE_PORT}"))
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .arg("-D")
            .arg(&trace);
        for note in uart.notes() {
            command.args(["-trace", note]);
        }
        let qemu = Program::start("guest", command, folder)
            .context("qemu is missing or does not start: run `make test-rs485`")?;
        Ok(Self {
            qemu,
            page,
            uart,
            trace,
        })
    }

    /// Where its page is on this machine.
    pub fn page(&self) -> SocketAddr {
        self.page
    }

    /// The virtual machine, for its console and its end.
    pub fn qemu(&mut self) -> &mut Program {
        &mut self.qemu
    }

    /// What happened at the port so far, oldest first.
    pub fn events(&self) -> Result<Vec<Event>> {
        let text = std::fs::read_to_string(&self.trace).context("reading qemu's notes")?;
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| text.split_at(end).0);
        let mut registers = Registers::default();
        let events = whole.lines().filter_map(|line| {
            let (at, words) = timed(line)?;
            let what = match self.uart {
                Uart::Pl011 => pl011(words)?,
                Uart::Ns16550 => registers.ns16550(words)?,
            };
            Some(Event { at, what })
        });
        Ok(events.collect())
    }
}

/// What has to be remembered to understand accesses to a 16550.
#[derive(Debug, Default)]
struct Registers {
    divisor: bool,
    looped: bool,
}

impl Registers {
    fn ns16550(&mut self, words: &str) -> Option<Happened> {
        let (write, rest) = match words.split_once(' ')? {
            ("serial_write", rest) => (true, rest),
            ("serial_read", rest) => (false, rest),
            _ => return None,
        };
        let (register, value) = (number(rest, "addr")?, number(rest, "val")?);
        match (write, register) {
            (true, 0) if !self.divisor && !self.looped => {
                Some(Happened::Sent(u8::try_from(value).ok()?))
            }
            (false, 0) if !self.divisor && !self.looped => Some(Happened::Received),
            (true, 3) => {
                self.divisor = value & LCR_DIVISOR != 0;
                None
            }
            (true, 4) => {
                self.looped = value & MCR_LOOP != 0;
                (!self.looped).then_some(Happened::Rts(value & MCR_RTS != 0))
            }
            _ => None,
        }
    }
}

fn pl011(words: &str) -> Option<Happened> {
    let (event, rest) = words.split_once(' ')?;
    if event == "pl011_put_fifo" {
        return Some(Happened::Received);
    }
    let (register, value) = (number(rest, "addr")?, number(rest, "value")?);
    match register {
        0x00 => Some(Happened::Sent(u8::try_from(value).ok()?)),
        0x30 => Some(Happened::Rts(value & PL011_RTS != 0)),
        _ => None,
    }
}

/// `1234@1700000000.123456:serial_write write addr 0x04 val 0x0b` without its process number.
fn timed(line: &str) -> Option<(Duration, &str)> {
    let (stamp, words) = line.split_once(':')?;
    let (seconds, micros) = stamp.split_once('@')?.1.split_once('.')?;
    let micros = Duration::from_micros(micros.parse().ok()?);
    let at = Duration::from_secs(seconds.parse().ok()?) + micros;
    Some((at, words))
}

/// The hexadecimal number behind this word.
fn number(words: &str, name: &str) -> Option<u32> {
    let mut words = words.split_whitespace().skip_while(|word| *word != name);
    let text = words.nth(1)?.strip_prefix("0x")?;
    u32::from_str_radix(text, 16).ok()
}

fn first_file_system(
    folder: &Path,
    uart: Uart,
    config: &str,
    access_code: &str,
) -> Result<PathBuf> {
    let root = folder.join("root");
    for name in [
        "bin", "lib", "modules", "config", "proc", "sys", "dev", "box", "tmp",
    ] {
        std::fs::create_dir_all(root.join(name)).context("making the guest's folders")?;
    }
    let parts = uart.parts();
    let (agent, libraries) = uart.agent()?;
    for needed in [&agent, &parts.join("vmlinuz"), &parts.join("busybox")] {
        let words = "is missing: run `make test-rs485`, which brings it";
        ensure!(needed.exists(), "{} {words}", needed.display());
    }
    copy(&parts.join("busybox"), &root.join("bin/busybox"))?;
    copy(&agent, &root.join("bin/edge-agent"))?;
    for library in libraries {
        let inside = match uart {
            Uart::Pl011 => Path::new("lib").join(library.file_name().unwrap_or_default()),
            Uart::Ns16550 => library.strip_prefix("/").unwrap_or(&library).to_path_buf(),
        };
        copy(&library, &root.join(inside))?;
    }
    for module in std::fs::read_dir(parts.join("modules"))?.flatten() {
        let inside = root.join("modules").join(module.file_name());
        copy(&module.path(), &inside)?;
    }
    std::fs::write(root.join("config/edge.toml"), config)?;
    std::fs::write(root.join("config/access-code"), access_code)?;
    pack(&root, &INIT.replace("OWN", OWN).replace("HOST", HOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_to_registers_are_understood() {
        let line = "77@1700000000.000250:serial_write write addr 0x04 val 0x0b";
        let (at, words) = timed(line).unwrap();
        assert_eq!(at, Duration::from_micros(1_700_000_000_000_250));
        let mut registers = Registers::default();
        assert_eq!(registers.ns16550(words), Some(Happened::Rts(true)));
        assert_eq!(
            registers.ns16550("serial_write write addr 0x03 val 0x93"),
            None
        );
        assert_eq!(
            registers.ns16550("serial_write write addr 0x00 val 0x0c"),
            None
        );
        assert_eq!(
            registers.ns16550("serial_write write addr 0x03 val 0x13"),
            None
        );
        let sent = registers.ns16550("serial_write write addr 0x00 val 0x0c");
        assert_eq!(sent, Some(Happened::Sent(12)));
        let rts = pl011("pl011_write addr 0x030 value 0x00000b01");
        assert_eq!(rts, Some(Happened::Rts(true)));
        let sent = pl011("pl011_write addr 0x000 value 0x00000011");
        assert_eq!(sent, Some(Happened::Sent(17)));
    }
}
