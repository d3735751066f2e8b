//! Values of the command line.

use std::ops::RangeInclusive;

use lexopt::Parser;

/// The value of `flag`, a whole number in `range`.
pub(crate) fn number(parser: &mut Parser, flag: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let value = parser.value().map_err(text)?;
    value.to_str().and_then(|value| value.parse().ok()).filter(|number| range.contains(number)).ok_or_else(
        || {
            format!(
                "{flag} {}: not a whole number from {} to {}",
                value.display(),
                range.start(),
                range.end()
            )
        },
    )
}

/// An error of the parser, in words.
#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
pub(crate) fn text(error: lexopt::Error) -> String {
    error.to_string()
}
