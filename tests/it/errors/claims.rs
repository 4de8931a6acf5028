//! Claims that are mistyped, invented, used up or of another hub: the words at the box, while it
//! polls on and its neighbour stays connected.

use super::{HEALTHY, arrives, case, goes_on, hub_logs, link_says, peer, prepare, refuses};
use anyhow::Result;
use harness::Hub;
use protocol::claim::Claim;

#[test]
fn a_wrong_or_used_claim_is_refused_with_the_reason() -> Result<()> {
    case("claims", |scratch| {
        let peer = peer(scratch)?;
        let mut hub = Hub::start(scratch)?;
        let api = hub.sign_in()?;
        let quic = hub.quic();
        let mut first = prepare(scratch, "first", &peer, |plan| plan.hub(quic))?;
        first.start()?;
        link_says(&first.api(), "not_enrolled", &["has not been enrolled"])?;
        let text = hub.claim("Plant", "First", "F1")?;
        let claim = Claim::parse(&text)?;

        let (head, tail) = text.split_at(text.len() / 2);
        let (wrong, rest) = tail.split_at(1);
        let other = if wrong == "a" { "b" } else { "a" };
        let mistyped = format!("{head}{other}{rest}");
        let parts = ["typing error", "checksum", "copy the line again"];
        refuses(&first, &["enrol", &mistyped], &parts)?;
        refuses(
            &first,
            &["enrol", head],
            &["the claim is not whole", "copy the whole line again"],
        )?;

        let mut unknown = claim.clone();
        unknown.token = [7; 16];
        let parts = [
            "the hub refused the claim",
            "did not give this claim token",
            "ask for a new one",
        ];
        refuses(&first, &["enrol", &unknown.to_string()], &parts)?;
        hub_logs(
            &mut hub,
            &["a claim was refused", "did not give this claim token"],
        )?;

        let mut elsewhere = claim;
        elsewhere.authority = [7; 32];
        let parts = ["is not the one that made this claim", "check [hub] address"];
        refuses(&first, &["enrol", &elsewhere.to_string()], &parts)?;

        // None of this has spent the claim, nor kept the box from its work.
        goes_on(&first.api(), HEALTHY)?;
        first.enrol(&text)?;
        link_says(&first.api(), "connected", &[])?;
        refuses(&first, &["enrol", &text], &["enrolled already", "--again"])?;

        let mut second = prepare(scratch, "second", &peer, |plan| plan.hub(quic))?;
        second.start()?;
        let parts = [
            "was used by another box at 20",
            "ask for a new one (cloud-hub claim new)",
        ];
        refuses(&second, &["enrol", &text], &parts)?;
        hub_logs(
            &mut hub,
            &["a claim was refused", "was used by another box"],
        )?;
        goes_on(&second.api(), HEALTHY)?;
        link_says(&second.api(), "not_enrolled", &[])?;
        second.enrol(&hub.claim("Plant", "Second", "S1")?)?;
        link_says(&second.api(), "connected", &[])?;
        for code in ["F1", "S1"] {
            arrives(&api, code)?;
        }
        second.stop()?;
        first.stop()?;
        hub.stop()
    })
}
