//! Drawing: text and shapes of an inline SVG, in pixels from its upper left corner.

use std::fmt::{Display, Write as _};

/// Text that may stand in HTML, inside and outside of quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A rectangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// `label` is what there is instead for whoever does not see it.
    pub(super) fn new(class: &str, width: f64, height: f64, label: &str) -> Self {
        let label = escape(label);
        let mut svg = Self { text: String::new() };
        svg.put(format_args!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">"
        ));
        svg
    }

    fn put(&mut self, what: impl Display) {
        let _ = writeln!(self.text, "{what}");
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A rectangle, with words that a pointer on it brings up if there are any.
    pub(super) fn rect(&mut self, class: &str, at: Area, words: &str) {
        let Area { left, top, .. } = at;
        let (width, height) = (at.right - left, at.bottom - top);
        let shape = format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\""
        );
        if words.is_empty() {
            self.put(format_args!("{shape}/>"));
        } else {
            self.put(format_args!("{shape}><title>{}</title></rect>", escape(words)));
        }
    }

    pub(super) fn words(&mut self, class: &str, (x, y): (f64, f64), words: &str) {
        self.marked(class, (x, y), words, "");
    }

    /// Words with more attributes on their element.
    pub(super) fn marked(&mut self, class: &str, (x, y): (f64, f64), words: &str, attributes: &str) {
        let words = escape(words);
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{attributes}>{words}</text>"
        ));
    }

    /// A line through points, broken where there is none.
    pub(super) fn path(&mut self, class: &str, points: impl IntoIterator<Item = Option<(f64, f64)>>) {
        let (mut path, mut pen) = (String::new(), 'M');
        for point in points {
            if let Some((x, y)) = point {
                let _ = write!(path, "{pen}{x:.1} {y:.1}");
                pen = 'L';
            } else {
                // A single point between two gaps shows as a dot.
                if pen == 'L' {
                    path.push_str("h0.1");
                }
                pen = 'M';
            }
        }
        if !path.is_empty() {
            self.put(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}
