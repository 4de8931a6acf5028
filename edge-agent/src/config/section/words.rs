//! A table of words by whole numbers: `{ 0 = "stopped", 1 = "running" }`. Never knows what they are for.

use super::super::tree::Value;
use super::super::value;
use super::{Section, text};
use std::collections::BTreeMap;

impl Section {
    /// The words of whole numbers: `{ 0 = "stopped", 1 = "running" }`, at most `count_max` of at
    /// most `bytes_max` bytes each.
    pub fn words(
        &mut self,
        key: &'static str,
        count_max: usize,
        bytes_max: usize,
    ) -> Option<BTreeMap<i64, String>> {
        let item = self.item(key)?;
        let Value::Table(table) = &item.value else {
            let wanted = "a table of words; write for example { 0 = \"stopped\", 1 = \"running\" }";
            return self.or_wrong(key, &item, None, wanted);
        };
        if table.entries.len() > count_max {
            let words = format!(
                "there are {} words; at most {count_max} are possible",
                table.entries.len()
            );
            self.problem(key, &words);
            return None;
        }
        let mut found = BTreeMap::new();
        for entry in &table.entries {
            let number: Option<i64> = entry.key.parse().ok();
            let word = text(&entry.item).map(str::trim);
            let word = word.filter(|word| {
                (1..=bytes_max).contains(&word.len()) && !word.contains(char::is_control)
            });
            if let (Some(number), Some(word)) = (number, word) {
                found.insert(number, word.to_owned());
            } else {
                let shown = value::quoted(&value::shortened(&entry.key));
                let words = format!(
                    "the entry {shown} is not a whole number and its word (1 to {bytes_max} \
                     bytes); write for example 1 = \"running\""
                );
                self.problem(key, &words);
            }
        }
        Some(found)
    }
}
