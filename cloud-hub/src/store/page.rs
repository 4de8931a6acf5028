//! One page of a list, continued by a key, not by a number of rows: what is added or removed
//! meanwhile never makes a row appear twice or be left out.

use super::error::StoreError;
use uuid::Uuid;

/// Rows of a page when nothing is asked.
pub const LIMIT_DEFAULT: usize = 50;
/// Most rows of a page; who asks for more gets this many.
pub const LIMIT_MAX: usize = 200;
/// Longest cursor text that is looked at.
const CURSOR_BYTES_MAX: usize = 1_024;

/// Which page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Rows, 1 to [`LIMIT_MAX`].
    pub limit: usize,
    /// Where the page before ended; `None` for the first page.
    pub cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            limit: LIMIT_DEFAULT,
            cursor: None,
        }
    }
}

/// One page.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// For the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// Where a row stands in its list.
pub(super) trait Keyed {
    /// What the list is sorted by, and the id that breaks ties.
    fn key(&self) -> (String, Uuid);
}

impl Page {
    /// How many rows to read: one more than wanted tells whether there is a next page.
    pub(super) fn rows_to_read(&self) -> i64 {
        i64::try_from(self.limit.clamp(1, LIMIT_MAX)).unwrap_or(1) + 1
    }

    /// The key after which this page begins.
    pub(super) fn after(&self) -> Result<Option<(String, Uuid)>, StoreError> {
        self.cursor.as_deref().map(decode).transpose()
    }

    /// The key after which this page begins, in a list that is sorted by a number.
    pub(super) fn after_number(&self) -> Result<Option<(i64, Uuid)>, StoreError> {
        let Some((key, id)) = self.after()? else {
            return Ok(None);
        };
        let number = key.parse().map_err(|_| StoreError::BadCursor)?;
        Ok(Some((number, id)))
    }

    /// Makes the page from what was read.
    pub(super) fn list<T: Keyed>(&self, mut rows: Vec<T>) -> Listed<T> {
        let limit = self.limit.clamp(1, LIMIT_MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| encode(&row.key()));
        Listed { rows, next_cursor }
    }
}

fn encode((key, id): &(String, Uuid)) -> String {
    format!("{}{}", id.simple(), hex(key.as_bytes()))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xF])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn decode(cursor: &str) -> Result<(String, Uuid), StoreError> {
    if cursor.len() > CURSOR_BYTES_MAX || !cursor.is_ascii() {
        return Err(StoreError::BadCursor);
    }
    let (id, hex) = cursor.split_at_checked(32).ok_or(StoreError::BadCursor)?;
    let id = Uuid::try_parse(id).map_err(|_| StoreError::BadCursor)?;
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect();
    let key = bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(StoreError::BadCursor)?;
    Ok((key, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_anything_else_is_refused() {
        let key = ("Halle 7 / Förderband".to_owned(), Uuid::from_u128(77));
        assert_eq!(decode(&encode(&key)).unwrap(), key);
        for text in [
            "",
            "zz",
            "0123456789abcdef0123456789abcde",
            &"ä".repeat(40),
            &"0".repeat(5_000),
        ] {
            assert!(matches!(decode(text), Err(StoreError::BadCursor)), "{text}");
        }
    }
}
