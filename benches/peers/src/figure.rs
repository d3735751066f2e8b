//! How figures and names are written.

use std::collections::BTreeMap;

use crate::versions::crate_of;

/// Nanoseconds, with as many digits as mean something.
pub(crate) fn nanoseconds(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { thousands(value) }
}

/// A quantile or maximum of single operations: the counter's steps leave no decimals.
pub(crate) fn lap(value: f64) -> String {
    thousands(value)
}

/// A multiple of something.
pub(crate) fn ratio(value: f64) -> String {
    format!("{value:.3}")
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A whole number in groups of three digits.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A contender's name with its crate's version. Ours needs none: it is the tree's.
pub(crate) fn contender(name: &str, versions: &BTreeMap<String, String>) -> String {
    let (name_of_crate, setting) = name.split_at(crate_of(name).len());
    if name_of_crate == "fusewire" {
        return format!("Fusewire{setting}");
    }
    match versions.get(name_of_crate) {
        Some(version) => format!("{name_of_crate} {version}{setting}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        let values = [0.64, 99.94, 99.96, 1_234.5, 12_345_678.0];
        let expected = ["0.6", "99.9", "100", "1 234", "12 345 678"];
        assert_eq!(values.map(nanoseconds), expected);
    }

    #[test]
    fn a_peer_s_name_has_its_crate_s_version() {
        let versions = BTreeMap::from([("governor".to_owned(), "0.10.4".to_owned())]);
        assert_eq!(contender("governor, upkeep clock", &versions), "governor 0.10.4, upkeep clock");
        assert_eq!(contender("fusewire, call", &versions), "Fusewire, call");
        assert_eq!(contender("nothing", &versions), "nothing");
    }
}
