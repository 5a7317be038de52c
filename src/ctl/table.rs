//! Tables of text, as Go's `tabwriter` sets them: a tab ends a cell, cells of neighbouring lines that end so form a
//! column, and a column is as wide as its widest cell and two blanks.
//!
//! Texts of people may hold tabs and line breaks; they break the table where amtool's breaks.

const PADDING: usize = 2;

/// Rows of cells; each cell, also the last one of a row, is padded.
#[derive(Default)]
pub struct Table(String);

impl Table {
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        for cell in cells {
            self.0.push_str(cell);
            self.0.push('\t');
        }
        self.0.push('\n');
    }

    /// A row whose last cell is not padded.
    pub fn open_row(&mut self, cells: &[&str]) {
        self.0.push_str(&cells.join("\t"));
        self.0.push('\n');
    }

    pub fn text(&self) -> String {
        align(&self.0)
    }
}

fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len().saturating_sub(1)]).collect();
    // The last part of a line is no cell of a column: nothing ends it.
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut from = 0;
        while from < lines.len() {
            let in_column = |row: &Vec<&str>| column + 1 < row.len();
            let length = lines.iter().skip(from).take_while(|row| in_column(row)).count();
            let block = from..from + length;
            let cells = lines.iter().skip(from).take(length).filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let width = widest + PADDING;
            for row in block {
                if let Some(slot) = widths.get_mut(row).and_then(|row| row.get_mut(column)) {
                    *slot = width;
                }
            }
            from += length.max(1);
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            let blanks = widths.get(column).map_or(0, |width| width.saturating_sub(cell.chars().count()));
            out.extend(std::iter::repeat_n(' ', blanks));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::default();
        table.row(["ID", "Matchers"]);
        table.row(["1234", "語=1"]);
        assert_eq!(table.text(), "ID    Matchers  \n1234  語=1       \n");
    }

    #[test]
    fn a_line_break_in_a_cell_ends_its_columns() {
        let mut table = Table::default();
        table.row(["Alertname", "Starts At", "Summary", "State"]);
        table.row(["x", "2026", "line1\nline2", "active"]);
        table.row(["longer name", "2026", "hot", "active"]);
        let expected = [
            "Alertname    Starts At  Summary  State  ",
            "x            2026       line1",
            "line2        active     ",
            "longer name  2026       hot  active  ",
            "",
        ];
        assert_eq!(table.text().split('\n').collect::<Vec<_>>(), expected);
    }
}
