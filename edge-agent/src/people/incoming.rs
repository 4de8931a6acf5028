//! A site bundle on its way to this box, over as many connections as it takes. Nothing of it counts
//! before all of it is there and is what the hub's authority signed. Never checks a signature itself:
//! it is told.

use protocol::bundle::Bundle;
use protocol::id::SiteId;
use protocol::wire::decode_bundle;
use protocol::wire::v1::{BundleHeadV1, BundlePieceV1, BundleStateV1};

/// What has come of the next bundle. At most `limits::BUNDLE_BYTES_MAX` in memory, and none once it
/// was taken or refused.
#[derive(Debug, Default)]
pub struct Incoming(Option<Partial>);

#[derive(Debug)]
struct Partial {
    number: u64,
    hash: [u8; 32],
    length: u64,
    bytes: Vec<u8>,
    refused: String,
}

impl Incoming {
    /// What the hub is told. `held` is the number of the bundle that counts.
    pub fn state(&self, held: u64) -> BundleStateV1 {
        let Some(partial) = &self.0 else {
            return BundleStateV1 {
                held,
                ..BundleStateV1::default()
            };
        };
        BundleStateV1 {
            held,
            number: partial.number,
            hash: partial.hash,
            bytes: count(&partial.bytes),
            refused: partial.refused.clone(),
        }
    }

    /// A connection begins: what was refused on another one is tried once more.
    pub fn begin(&mut self) {
        self.0.take_if(|partial| !partial.refused.is_empty());
    }

    /// The hub says which bundle comes. `signed`: an authority that this box trusts has signed it.
    pub fn head(&mut self, head: &BundleHeadV1, signed: bool, held: u64) {
        let known = self.0.as_ref().is_some_and(|partial| {
            partial.refused.is_empty()
                && partial.number == head.number
                && partial.hash == head.hash
                && partial.length == head.length
        });
        if known && signed && head.number > held {
            return;
        }
        let partial = self.0.insert(Partial {
            number: head.number,
            hash: head.hash,
            length: head.length,
            bytes: Vec::new(),
            refused: String::new(),
        });
        if !signed {
            partial.refuse("it is not signed by an authority that this box trusts");
        } else if head.number <= held {
            partial.refused = format!("this box holds number {held} already");
        }
    }

    /// The next bytes; the bundle when it is whole. Bytes that do not follow those that are there
    /// are passed over: they come again.
    pub fn piece(&mut self, piece: &BundlePieceV1, site: Option<SiteId>) -> Option<Bundle> {
        let partial = self.0.as_mut()?;
        let here = count(&partial.bytes);
        let fits = piece.number == partial.number && piece.offset == here;
        if !fits || !partial.refused.is_empty() {
            return None;
        }
        let left = partial.length.saturating_sub(here);
        if u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX) > left {
            partial.refuse("it is longer than was said");
            return None;
        }
        partial.bytes.extend_from_slice(&piece.bytes);
        if count(&partial.bytes) < partial.length {
            return None;
        }
        match partial.whole(site) {
            Ok(bundle) => {
                self.0 = None;
                Some(bundle)
            }
            Err(words) => {
                partial.refuse(words);
                None
            }
        }
    }
}

impl Partial {
    fn refuse(&mut self, words: &str) {
        words.clone_into(&mut self.refused);
        self.bytes = Vec::new();
    }

    fn whole(&self, site: Option<SiteId>) -> Result<Bundle, &'static str> {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.bytes);
        if digest.as_ref() != self.hash {
            return Err("its bytes are not those that were signed");
        }
        let bundle = decode_bundle(&self.bytes)
            .map_err(|_| "this program cannot read it; update the agent")?;
        if bundle.number != self.number {
            return Err("its number is not the one that was said");
        }
        if Some(bundle.site) != site {
            return Err("it is of another site");
        }
        Ok(bundle)
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::time::Timestamp;
    use protocol::wire::encode_bundle;
    use uuid::Uuid;

    const SITE: SiteId = SiteId(Uuid::from_u128(1));

    fn bundle(number: u64) -> Bundle {
        Bundle {
            number,
            site: SITE,
            made: Timestamp(0),
            valid_until: Timestamp(1),
            grace_days: 1,
            people: vec![],
            assets: vec![],
            parts: vec![],
            checklists: vec![],
            failure_codes: vec![],
        }
    }

    fn head(bytes: &[u8], number: u64) -> BundleHeadV1 {
        let mut hash = [0; 32];
        hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        BundleHeadV1 {
            number,
            hash,
            length: count(bytes),
            certificate: vec![],
            signature: vec![],
        }
    }

    fn piece(number: u64, offset: usize, bytes: &[u8]) -> BundlePieceV1 {
        BundlePieceV1 {
            number,
            offset: u64::try_from(offset).unwrap(),
            bytes: bytes.to_vec(),
        }
    }

    /// All of it at once; the words of a refusal.
    fn offer(bytes: &[u8], number: u64, signed: bool, held: u64) -> Result<Bundle, String> {
        let mut incoming = Incoming::default();
        incoming.head(&head(bytes, number), signed, held);
        let whole = incoming.piece(&piece(number, 0, bytes), Some(SITE));
        whole.ok_or_else(|| incoming.state(held).refused)
    }

    #[test]
    fn a_signed_newer_bundle_of_this_site_is_taken_and_no_other() {
        let bytes = encode_bundle(&bundle(7)).unwrap();
        assert_eq!(offer(&bytes, 7, true, 6), Ok(bundle(7)));
        let refused = |result: Result<Bundle, String>, words: &str| {
            let told = result.unwrap_err();
            assert!(told.contains(words), "{told}");
        };
        refused(offer(&bytes, 7, false, 6), "not signed");
        refused(offer(&bytes, 7, true, 7), "holds number 7");
        refused(offer(&bytes, 8, true, 6), "not the one that was said");
        let mut foreign = bundle(7);
        foreign.site = SiteId(Uuid::from_u128(2));
        let foreign = encode_bundle(&foreign).unwrap();
        refused(offer(&foreign, 7, true, 6), "another site");
        refused(offer(&[1, 2, 3], 7, true, 6), "update the agent");
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let bytes = encode_bundle(&bundle(7)).unwrap();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let mut incoming = Incoming::default();
            incoming.head(&head(&bytes, 7), true, 0);
            assert_eq!(incoming.piece(&piece(7, 0, &altered), Some(SITE)), None);
            assert!(
                incoming
                    .state(0)
                    .refused
                    .contains("not those that were signed")
            );
            // And it is asked for again on the next connection.
            incoming.begin();
            assert_eq!(incoming.state(0), BundleStateV1::default());
        }
    }

    #[test]
    fn pieces_out_of_order_or_too_many_do_no_harm() {
        let bytes = encode_bundle(&bundle(7)).unwrap();
        let half = bytes.len() / 2;
        let mut incoming = Incoming::default();
        assert_eq!(incoming.piece(&piece(7, 0, &bytes), Some(SITE)), None);
        incoming.head(&head(&bytes, 7), true, 0);
        for (number, offset) in [(7, half), (8, 0)] {
            assert_eq!(
                incoming.piece(&piece(number, offset, &bytes), Some(SITE)),
                None
            );
            assert_eq!(incoming.state(0).bytes, 0);
        }
        assert_eq!(
            incoming.piece(&piece(7, 0, &bytes[..half]), Some(SITE)),
            None
        );
        // The same head again, on another connection: it goes on.
        incoming.begin();
        incoming.head(&head(&bytes, 7), true, 0);
        assert_eq!(incoming.state(0).bytes, u64::try_from(half).unwrap());
        let rest = piece(7, half, &bytes[half..]);
        assert_eq!(incoming.piece(&rest, Some(SITE)), Some(bundle(7)));
        incoming.head(&head(&bytes, 7), true, 0);
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(incoming.piece(&piece(7, 0, &longer), Some(SITE)), None);
        assert!(incoming.state(0).refused.contains("longer"));
    }
}
