//! Rows of text in columns, for people. Never wraps a line: a terminal does that.

/// Aligned columns under a head; cells are filled with blanks except the last of a row.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let filled = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = filled.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// `1 port`, `2 ports`.
pub(super) fn many(count: usize, thing: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let rows = [
            vec!["ä".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(table(&["A", "BB"], &rows), "A     BB\nä     1\nlong\n");
        assert_eq!(table(&["A"], &[]), "A\n");
        assert_eq!(
            (many(1, "port"), many(0, "port")),
            ("1 port".into(), "0 ports".into())
        );
    }
}
