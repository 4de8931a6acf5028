//! What is on the disk: configuration, data folder, databases, identity. Never writes a file, never
//! shows what is secret in one.

use super::finding::Findings;
use crate::cli::config::documents;
use crate::cli::status::rounded;
use crate::config::{Config, ConfigError, show_duration};
use crate::drivers;
use crate::identity::{self, Identity};
use crate::notify;
use crate::storage::{DISK_WARNING_PERCENT, Disk, Found, Inspected, inspect, set_aside};
use crate::transport::Address;
use protocol::time::Timestamp;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Problems of the configuration that are shown; more are counted.
const PROBLEMS_SHOWN: usize = 20;
/// Free bytes on the disk of the data folder below which it is told.
const FREE_BYTES_MIN: u64 = 100_000_000;
const DAY_US: i64 = 86_400 * 1_000_000;
/// Days before its end when a certificate that was not renewed is told.
const CERTIFICATE_DAYS_MIN: i64 = 7;

/// The configuration as far as it can be read; drivers look at their tables too.
pub(super) fn configuration(file: &Path, found: &mut Findings) -> Option<Config> {
    let (config, checked) = match Config::draft(file) {
        Ok(config) => {
            for port in &config.ports {
                // What is wrong is in the list of problems.
                drop(drivers::build(port, &config.devices));
            }
            notify::check(&config);
            let checked = config.problems.check();
            (Some(config), checked)
        }
        Err(error) => (None, Err(error)),
    };
    match checked {
        Ok(()) => {
            let config = config.as_ref();
            let count = config.map_or(0, |config| config.devices.len());
            let counts = config.and_then(|config| documents(config).counts());
            let counts = counts.map_or(String::new(), |name| {
                format!(
                    " Document {} of the hub says what the plant is.",
                    name.version
                )
            });
            found.fine(
                "configuration",
                format!(
                    "{}: nothing is wrong, {count} devices.{counts}",
                    file.display()
                ),
            );
        }
        Err(ConfigError::Invalid(problems)) => {
            for problem in problems.iter().take(PROBLEMS_SHOWN) {
                found.wrong("configuration", problem.to_string(), "");
            }
            if let Some(more) = problems.len().checked_sub(PROBLEMS_SHOWN + 1) {
                found.wrong(
                    "configuration",
                    format!("{} more problems.", more + 1),
                    "edge-agent check shows all.",
                );
            }
        }
        Err(error) => found.wrong(
            "configuration",
            error.to_string(),
            "Name the file with --config; this program looked with the rights of its user.",
        ),
    }
    config
}

/// Ports that are serial lines, with their device files or why there is none.
pub(super) fn serial_lines(config: &Config) -> Vec<(String, std::io::Result<PathBuf>)> {
    let ports = config.ports.iter().filter_map(|port| {
        match drivers::build(port, &config.devices)?.address()? {
            Address::Serial(serial) => Some((port.name.clone(), serial.locate())),
            Address::Tcp(_) | Address::Tls(_) => None,
        }
    });
    ports.collect()
}

/// The file with the access code: there, long enough, not for everybody to read.
pub(super) fn access_code(config: &Config, found: &mut Findings) {
    let Some(path) = &config.web.access_code_file else {
        return;
    };
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => found.wrong(
            "access code",
            format!("{shown} cannot be read: {error}."),
            "Write the code that people enter into this file ([web] access_code_file).",
        ),
        Ok(data) if data.permissions().mode() & 0o007 != 0 => found.attention(
            "access code",
            format!("{shown} can be read by every user of this box."),
            format!("chmod o= {shown}"),
        ),
        Ok(_) => found.fine("access code", format!("{shown} is there.")),
    }
}

/// The data folder: there, room, whole databases.
pub(super) fn data(folder: &Path, longest: Duration, found: &mut Findings) {
    let shown = folder.display();
    if !folder.is_dir() {
        found.attention(
            "data folder",
            format!("{shown} is not there (or not to be seen by this user)."),
            "The agent makes it at its first start; check [gateway] data_dir if it ran before.",
        );
        return;
    }
    space(folder, found);
    for database in inspect(folder, longest) {
        judge(&database, found);
    }
    for old in set_aside(folder) {
        found.attention(
            "databases",
            format!("{} was damaged and set aside.", old.display()),
            "What could be read is in the new one. If damage comes again, replace the card or disk; \
             delete the old file when nobody wants it any more.",
        );
    }
}

fn space(folder: &Path, found: &mut Findings) {
    let Some(disk) = Disk::of(folder) else {
        return;
    };
    let (percent, free) = (disk.used_percent(), rounded(disk.free_bytes));
    let told = format!(
        "The disk of {} is {percent} % full, {free} are free.",
        folder.display()
    );
    if disk.free_bytes < FREE_BYTES_MIN || percent >= DISK_WARNING_PERCENT {
        let remedy = "Make room on it; the agent gives up its oldest readings when there is none.";
        if disk.free_bytes < FREE_BYTES_MIN / 10 {
            found.wrong("disk", told, remedy);
        } else {
            found.attention("disk", told, remedy);
        }
    } else {
        found.fine("disk", told);
    }
}

fn judge(database: &Inspected, found: &mut Findings) {
    let shown = database.path.display();
    let size = rounded(database.bytes.unwrap_or(0) + database.log_bytes);
    let (schema, newest) = database.schema;
    match &database.found {
        Found::Missing => {
            found.attention("databases", format!("{shown} is not there yet."), "The agent makes it at its first start.");
        }
        _ if schema > newest => found.wrong(
            "databases",
            format!("{shown} is of a newer agent (schema {schema}, this one knows {newest})."),
            "Install the newer version again.",
        ),
        Found::Whole => found.fine("databases", format!("{shown} is whole ({size}).")),
        Found::Unclosed => found.attention(
            "databases",
            format!("{shown} ({size}) was not closed: a crash or a power cut."),
            "Nothing to do: the agent checks it at its next start.",
        ),
        Found::Unfinished => found.attention(
            "databases",
            format!("{shown} ({size}) was not checked to its end in the time given."),
            "Give it more with --check-time.",
        ),
        Found::Damaged(what) => found.wrong(
            "databases",
            format!("{shown} is damaged: {what}."),
            "Start the agent again: a damaged buffer.db is set aside and what can be read is saved; \
             a damaged core.db has to be restored from a backup. The card or disk may be failing.",
        ),
        Found::Unreadable(why) => found.wrong(
            "databases",
            format!("{shown} cannot be read: {why}."),
            "Run this as the agent's user or with sudo; the files must belong to the agent.",
        ),
    }
}

/// Key and certificate. Says whether there are any.
pub(super) fn identity(config: &Config, now: Timestamp, found: &mut Findings) -> bool {
    let folder = identity::folder(&config.gateway.data_dir);
    let identity = match Identity::load(&folder) {
        Ok(Some(identity)) => identity,
        Ok(None) => return false,
        Err(error) => {
            found.wrong(
                "identity",
                format!("{error}."),
                "Run this as the agent's user or with sudo first.",
            );
            return true;
        }
    };
    let Some((from, until)) = identity::validity(&identity.certificate) else {
        found.wrong(
            "identity",
            "The certificate cannot be read.",
            "Enrol the box again with a new claim.",
        );
        return true;
    };
    let days = until.micros_since(now) / DAY_US;
    if now < from {
        found.wrong(
            "identity",
            format!("The certificate counts from {from}, and the box's clock says {now}."),
            "Set the clock.",
        );
    } else if now >= until {
        found.wrong(
            "identity",
            format!("The certificate ended at {until}."),
            "The box renews it by itself when it reaches the hub; else enrol it again with a new claim.",
        );
    } else if days < CERTIFICATE_DAYS_MIN {
        let left = show_duration(Duration::from_micros(
            u64::try_from(until.micros_since(now)).unwrap_or(0) / 60_000_000 * 60_000_000,
        ));
        found.attention(
            "identity",
            format!("The certificate ends at {until}, in {left}, and was not renewed."),
            "The box renews it when it reaches the hub: look at the uplink.",
        );
    } else {
        found.fine(
            "identity",
            format!("The certificate counts for {days} more days, until {until}."),
        );
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::finding::Rank;
    use super::*;

    fn config(folder: &Path, text: &str) -> PathBuf {
        let file = folder.join("edge.toml");
        fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn every_problem_of_the_file_is_told_and_the_rest_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let file = config(
            folder.path(),
            "[gateway]\ndata_dir = \"data\"\nnmae = \"x\"\n[web]\nlisten = \"here\"\n",
        );
        let mut found = Findings::default();
        let config = configuration(&file, &mut found).unwrap();
        assert_eq!(found.count(Rank::Wrong), 2, "{}", found.words());
        assert!(
            found.words().contains("did you mean \"name\""),
            "{}",
            found.words()
        );
        data(&config.gateway.data_dir, Duration::from_secs(5), &mut found);
        assert_eq!(found.about("data folder").rank, Rank::Attention);
        assert!(configuration(&folder.path().join("gone.toml"), &mut found).is_none());
    }

    #[test]
    fn a_damaged_database_and_one_that_was_set_aside_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("core.db"), vec![0xA5; 9_000]).unwrap();
        fs::write(folder.path().join("buffer.db.damaged-17"), "x").unwrap();
        let mut found = Findings::default();
        data(folder.path(), Duration::from_secs(5), &mut found);
        let words = found.words();
        assert!(words.contains("core.db is damaged"), "{words}");
        assert!(
            words.contains("damaged-17 was damaged and set aside"),
            "{words}"
        );
        assert!(words.contains("buffer.db is not there yet"), "{words}");
        assert!(words.starts_with("1 thing is wrong"), "{words}");
    }

    #[test]
    fn an_access_code_that_everybody_reads_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = config(
            folder.path(),
            "[web]\nlisten = \"0.0.0.0:1\"\naccess_code_file = \"code\"\n",
        );
        let mut found = Findings::default();
        let config = configuration(&file, &mut found).unwrap();
        access_code(&config, &mut found);
        assert_eq!(found.about("access code").rank, Rank::Wrong);
        let code = folder.path().join("code");
        fs::write(&code, "123456").unwrap();
        for (mode, rank) in [(0o644, Rank::Attention), (0o640, Rank::Fine)] {
            fs::set_permissions(&code, fs::Permissions::from_mode(mode)).unwrap();
            let mut found = Findings::default();
            access_code(&config, &mut found);
            assert_eq!(found.about("access code").rank, rank);
        }
    }

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let folder = tempfile::tempdir().unwrap();
        let file = config(folder.path(), "[gateway]\ndata_dir = \"data\"\n");
        let config = Config::load(&file).unwrap();
        let told = |now: i64| {
            let mut found = Findings::default();
            assert!(identity(&config, Timestamp(now * DAY_US), &mut found));
            (found.about("identity").rank, found.words())
        };
        let mut found = Findings::default();
        assert!(!identity(&config, Timestamp(0), &mut found));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let pem = [key.serialize_pem(), certificate.pem(), certificate.pem()].concat();
        fs::create_dir_all(folder.path().join("data/identity")).unwrap();
        fs::write(folder.path().join("data/identity/identity.pem"), pem).unwrap();
        let (from, until) = identity::validity(certificate.der()).unwrap();
        assert_eq!(told(from.0 / DAY_US - 1).0, Rank::Wrong);
        assert_eq!(told(from.0 / DAY_US + 1).0, Rank::Fine);
        let (rank, words) = told(until.0 / DAY_US - 3);
        assert_eq!(rank, Rank::Attention, "{words}");
        assert_eq!(told(until.0 / DAY_US + 1).0, Rank::Wrong);
    }
}
