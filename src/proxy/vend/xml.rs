//! XML as STS answers it.

use std::fmt::Write;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Elements and text; there is nothing else in STS's answers.
pub(super) struct Xml(String);

impl Xml {
    /// With its outermost element.
    pub fn new(root: &str) -> Xml {
        Xml(format!("<{root} xmlns=\"{NAMESPACE}\">"))
    }

    /// An element with others in it.
    pub fn within(&mut self, name: &str, write: impl FnOnce(&mut Xml)) {
        let _ = write!(self.0, "<{name}>");
        write(self);
        let _ = write!(self.0, "</{name}>");
    }

    /// An element with text in it.
    pub fn text(&mut self, name: &str, text: &str) {
        self.within(name, |xml| {
            for c in text.chars() {
                match c {
                    '<' => xml.0.push_str("&lt;"),
                    '>' => xml.0.push_str("&gt;"),
                    '&' => xml.0.push_str("&amp;"),
                    c => xml.0.push(c),
                }
            }
        });
    }

    /// All of it.
    pub fn end(self, root: &str) -> String {
        self.0 + &format!("</{root}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut xml = Xml::new("A");
        xml.within("B", |xml| xml.text("C", "</C><&\">"));
        let expected = format!("<A xmlns=\"{NAMESPACE}\"><B><C>&lt;/C&gt;&lt;&amp;\"&gt;</C></B></A>");
        assert_eq!(xml.end("A"), expected);
    }
}
