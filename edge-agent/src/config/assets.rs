//! Assets as the configuration and the hub's list know them: what is part of what, and how much
//! depends on it.
//! Never knows what is abnormal.

use super::alarm::AssetConfig;
use protocol::bundle::Bundle;
use protocol::event::{Criticality, Severity};
use std::collections::BTreeMap;

/// Deepest chain of assets that is followed; the configuration allows no deeper one.
const LEVELS_MAX: usize = 17;

/// Assets by their tags.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    by_tag: BTreeMap<String, (Option<Criticality>, Option<String>)>,
}

impl Assets {
    /// From `[[asset]]`, and from the site's list of the hub where that says nothing of a thing.
    pub fn new(own: &[AssetConfig], of_hub: Option<&Bundle>) -> Self {
        let mut by_tag: BTreeMap<String, (Option<Criticality>, Option<String>)> = BTreeMap::new();
        for asset in own {
            let known = (asset.criticality, asset.parent.clone());
            by_tag.insert(asset.tag.clone(), known);
        }
        for asset in of_hub.iter().flat_map(|bundle| &bundle.assets) {
            let (criticality, parent) = by_tag.entry(asset.tag.clone()).or_default();
            *criticality = criticality.or(asset.criticality);
            *parent = parent.take().or_else(|| asset.parent.clone());
        }
        Self { by_tag }
    }

    /// An asset and all that it is a part of.
    pub fn chain<'a>(&'a self, asset: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let parent = |tag: &&'a str| self.by_tag.get(*tag)?.1.as_deref();
        std::iter::successors(asset, parent).take(LEVELS_MAX)
    }

    /// How much depends on an asset: as it says itself, or the nearest one above it that does.
    pub fn criticality(&self, asset: Option<&str>) -> Option<Criticality> {
        self.chain(asset).find_map(|tag| self.by_tag.get(tag)?.0)
    }
}

/// The urgency of an alert: that of its rule, one step up on an asset of criticality A, one step
/// down on one of D; unchanged on B, C and where nothing is known.
pub const fn priority(severity: Severity, criticality: Option<Criticality>) -> Severity {
    match (criticality, severity) {
        (Some(Criticality::A), Severity::Low) | (Some(Criticality::D), Severity::High) => {
            Severity::Medium
        }
        (Some(Criticality::A), Severity::Medium) | (Some(Criticality::D), Severity::Critical) => {
            Severity::High
        }
        (Some(Criticality::A), Severity::High) => Severity::Critical,
        (Some(Criticality::D), Severity::Medium) => Severity::Low,
        _ => severity,
    }
}
