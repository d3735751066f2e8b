//! A table in Markdown that also reads well as it stands.

use std::fmt;

/// A first column of names, and columns of figures.
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// Whether the columns after the first hold words instead of figures.
    pub(crate) words: bool,
}

impl fmt::Display for Table {
    /// Ends with its last line, without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        for (index, line) in lines().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            for (column, &width) in widths.iter().enumerate() {
                let cell = line.get(column).map_or("", String::as_str);
                if column == 0 || self.words {
                    write!(f, "| {cell:width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            write!(f, "|")?;
            if index == 0 {
                writeln!(f)?;
                for (column, &width) in widths.iter().enumerate() {
                    let end = if column == 0 || self.words { '-' } else { ':' };
                    write!(f, "| {:-<1$}{end} ", "", width - 1)?;
                }
                write!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_and_figures_right() {
        let text = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        let table = Table {
            head: text(["", "ns"]),
            rows: vec![text(["name", "1.0"]), text(["b", "10.0"])],
            words: false,
        };
        let expected = "|      |   ns |\n| ---- | ---: |\n| name |  1.0 |\n| b    | 10.0 |";
        assert_eq!(table.to_string(), expected);
    }
}
