//! The site bundle on a stick, for a box that its hub does not reach, and over the change of the hub's
//! authority: what the new one signed counts for a box that followed, what the old one signed counts
//! no more once it was retired, and the words say what to do. By real processes.

use crate::bundle::{PEOPLE, import as import_table, pin};
use crate::plant::{DEADLINE, Plant};
use crate::stick::{acknowledge, export, import};
use crate::transport::authority::changed_over;
use anyhow::{Context as _, Result, ensure};
use harness::{PeerOptions, Scratch, in_scratch, wait_for};
use std::path::{Path, PathBuf};

const PIN: &str = "271828";

#[test]
fn a_bundle_is_carried_and_follows_the_authority() -> Result<()> {
    in_scratch("carried", |scratch| {
        let mut plant = Plant::start_apart(scratch, PeerOptions::default())?;
        // A box without a network has it by its file.
        import_table(&plant, scratch, "people", PEOPLE, &["--write"])?;
        pin(&plant, scratch, "Mara Lind", PIN)?;
        ensure!(
            carried(&plant, scratch, "first")? == Some(2),
            "no bundle came with the file"
        );
        plant.here.sign_in_pin("Mara Lind", PIN)?;

        let (old_keys, old_box) = (scratch.file("old-keys"), scratch.file("old.pem"));
        copied(&plant.hub.data(), &old_keys)?;
        std::fs::copy(identity(&plant), &old_box)?;
        plant.hub.stop()?;
        plant.hub.cli(&["ca", "rotate", "--json"])?;
        plant.hub.start_again()?;
        // While both count, a box that knows the old one only is answered by the old one.
        pin(&plant, scratch, "Mara Lind", "314159")?;
        ensure!(
            carried(&plant, scratch, "between")? == Some(3),
            "not taken while both count"
        );
        plant.here.sign_in_pin("Mara Lind", "314159")?;

        plant.relay.restore();
        changed_over(&plant, "Hall B")?;
        plant.relay.cut();
        plant.hub.stop()?;
        plant.hub.cli(&["ca", "retire", "--json"])?;
        plant.hub.start_again()?;
        // The next connection ends the trust in the old one.
        plant.relay.restore();
        wait_for("the box to trust the new authority alone", DEADLINE, || {
            let text = std::fs::read_to_string(identity(&plant))?;
            Ok((text.matches("BEGIN CERTIFICATE").count() == 2).then_some(()))
        })?;
        plant.relay.cut();
        pin(&plant, scratch, "Mara Lind", "161803")?;
        ensure!(
            carried(&plant, scratch, "after")? == Some(4),
            "the new authority does not count"
        );
        plant.here.sign_in_pin("Mara Lind", "161803")?;
        the_old_one_is_over(&mut plant, scratch, &old_keys)?;
        who_missed_it(&mut plant, scratch, &old_box)
    })
}

/// Whoever has the old keys writes an answer: it is not believed, and nothing of it is taken.
fn the_old_one_is_over(plant: &mut Plant, scratch: &Scratch, old: &Path) -> Result<()> {
    pin(plant, scratch, "Mara Lind", "577215")?;
    plant.hub.stop()?;
    let new = scratch.file("new-keys");
    copied(&plant.hub.data(), &new)?;
    copied(old, &plant.hub.data())?;
    refused(plant, scratch, "old-keys")?;
    copied(&new, &plant.hub.data())?;
    plant.hub.start_again()?;
    plant.here.sign_in_pin("Mara Lind", "161803")?;
    ensure!(
        carried(plant, scratch, "healed")? == Some(5),
        "the right answer is not taken"
    );
    plant.here.sign_in_pin("Mara Lind", "577215").map(drop)
}

/// A box that was away all that time: it keeps what it has, and is told how it comes back.
fn who_missed_it(plant: &mut Plant, scratch: &Scratch, old: &Path) -> Result<()> {
    plant.agent.stop()?;
    std::fs::copy(old, identity(plant))?;
    plant.agent.start()?;
    pin(plant, scratch, "Mara Lind", "693147")?;
    let (file, answer) = files(scratch, "missed");
    export(&plant.agent, &file, &[])?;
    let refused = import(plant, &file, &answer).err();
    let words = format!(
        "{:#}",
        refused.context("the file of a box of the old authority was taken")?
    );
    ensure!(words.contains("new claim"), "{words}");
    plant.here.sign_in_pin("Mara Lind", "577215")?;
    let held = plant.here.get("/status")?["bundle"]["number"].clone();
    plant.agent.stop()?;
    plant.relay.restore();
    let claim = plant.hub.claim("North works", "Hall B", "HB")?;
    plant.agent.cli(&["enrol", &claim, "--again"])?;
    plant.agent.start()?;
    // The bundle comes some moments after the link.
    wait_for("the bundle of meanwhile", DEADLINE, || {
        let number = &plant.here.get("/status")?["bundle"]["number"];
        Ok((*number != held).then_some(()))
    })?;
    plant.here.sign_in_pin("Mara Lind", "693147").map(drop)
}

/// To the hub and back in two files; the number of the bundle that came with them.
fn carried(plant: &Plant, scratch: &Scratch, round: &str) -> Result<Option<u64>> {
    let (file, answer) = files(scratch, round);
    export(&plant.agent, &file, &[])?;
    import(plant, &file, &answer)?;
    Ok(acknowledge(&plant.agent, &answer)?["bundle"].as_u64())
}

/// The same with an answer that the box must not take: it says why and what to do, and keeps what it has.
fn refused(plant: &Plant, scratch: &Scratch, round: &str) -> Result<()> {
    let held = plant.here.get("/status")?["bundle"]["number"].clone();
    let (file, answer) = files(scratch, round);
    export(&plant.agent, &file, &[])?;
    import(plant, &file, &answer)?;
    let refused = acknowledge(&plant.agent, &answer).err();
    let words = format!(
        "{:#}",
        refused.context("an answer of another authority was taken")?
    );
    let says = ["that this box trusts", "Nothing was taken", "new claim"];
    ensure!(says.iter().all(|part| words.contains(part)), "{words}");
    let after = plant.here.get("/status")?["bundle"]["number"].clone();
    ensure!(after == held, "{after} took the place of {held}");
    Ok(())
}

fn files(scratch: &Scratch, round: &str) -> (PathBuf, PathBuf) {
    (
        scratch.file(&format!("{round}.cfe")),
        scratch.file(&format!("{round}.ack")),
    )
}

fn identity(plant: &Plant) -> PathBuf {
    plant.box_store().join("identity/identity.pem")
}

/// The keys of the hub's authority, from one folder to another.
fn copied(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for name in ["ca.key", "ca.pem"] {
        std::fs::copy(from.join(name), to.join(name)).with_context(|| name.to_owned())?;
    }
    Ok(())
}
