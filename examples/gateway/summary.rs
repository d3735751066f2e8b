//! What the runs come to, to read: a comparison, and what each layer did.

use std::fmt::Write as _;

use crate::compare;
use crate::ink::{CELLS, Ink};
use crate::layers;
use crate::page::{Page, ROOM};
use crate::record::Record;
use crate::run::Setup;
use crate::screen::{entry_line, strips};
use crate::spell::short;
use crate::stack::Rules;
use crate::table::Run;

/// More entries than this are shortened in the middle.
const LONGEST_TIMELINE: usize = 80;

/// The summary as text.
pub(crate) fn page(setup: &Setup, runs: &[Run], colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    let record = &runs[0].0;
    glance(&mut page, setup, runs);
    if let Some((rules, _)) = &record.protection {
        told(&mut page, setup, rules);
    }
    timeline(&mut page, record);
    for table in compare::tables(setup, runs) {
        page.table(&table);
    }
    conclusion(&mut page, setup, runs);
    page.blank();
    page.text
}

fn glance(page: &mut Page, setup: &Setup, runs: &[Run]) {
    for (record, _) in runs {
        page.heading(&compare::title(setup, record));
        for strip in strips(record, CELLS, ROOM, page.colour) {
            let _ = writeln!(page.text, "{strip}");
        }
    }
    let seconds = setup.scale.length.as_secs_f64() / CELLS as f64;
    page.note(10, &format!("one column is {seconds:.2} s; filled: bars against what fell due, █ all of it"));
    page.note(10, "breaker: ─ closed  █ open  ▒ half-open");
}

fn told(page: &mut Page, setup: &Setup, rules: &Rules) {
    page.heading("The layers, outermost first");
    for (name, sentence, details) in layers::told(setup, rules) {
        page.line(|line| line.put(Ink::Plain, format!("  {name:<9}")).put(Ink::Plain, sentence));
        for detail in details {
            page.note(11, &detail);
        }
    }
}

fn conclusion(page: &mut Page, setup: &Setup, runs: &[Run]) {
    let [(_, with), (_, without)] = runs else { return };
    page.heading("In short");
    for row in compare::points(setup, with, without) {
        let [with, without] = [0, 1].map(|run| row.figures[run].text());
        page.line(|line| {
            line.put(Ink::Plain, format!("  {}: ", row.name))
                .put(Ink::Good, with)
                .put(Ink::Plain, ", unprotected ")
                .put(Ink::Bad, without)
        });
    }
    page.note(2, &compare::price(with));
}

fn timeline(page: &mut Page, record: &Record) {
    page.heading("Timeline of the protected run");
    let entries = &record.entries;
    let cut = if entries.len() > LONGEST_TIMELINE { LONGEST_TIMELINE / 2 } else { entries.len() };
    let colour = page.colour;
    for entry in &entries[..cut] {
        let _ = writeln!(page.text, "{}", entry_line(entry, ROOM, colour));
    }
    if cut < entries.len() {
        let rest = entries.len() - cut;
        page.note(10, &format!("... {} more, all of them in --json and --report ...", rest - cut));
        for entry in &entries[rest..] {
            let _ = writeln!(page.text, "{}", entry_line(entry, ROOM, colour));
        }
    }
    if entries.is_empty() {
        page.note(2, "nothing happened");
    }
    for remark in remarks(record) {
        page.note(2, &remark);
    }
}

/// What went otherwise than planned.
pub(crate) fn remarks(record: &Record) -> Vec<String> {
    let mut remarks = Vec::new();
    if !record.put_off.is_zero() {
        let late = short(record.put_off);
        remarks.push(format!("the machine stood still: the script ended {late} late and met less load"));
    }
    if record.events_dropped > 0 {
        remarks.push(format!("{} events were dropped, the queue being full", record.events_dropped));
    }
    remarks
}
