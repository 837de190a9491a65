//! Where requests of an HTTP/1 connection begin and end, read beside Pingora from the same bytes, for two things that it does not do:
//! tell when a request begins, and be strict about chunks (RFC 9112 §7.1). It takes a bare LF in a chunk's extension for part of it,
//! and an empty size line for the end. Heads are not judged here, but for being too unclear to follow, and for having no end: Pingora
//! gathers a megabyte of one before it gives up.

use std::mem;

use super::beginning::Beginning;

/// Bytes of a line that are looked at: enough for a framing field and for any chunk line that is meant well.
const LINE_BYTES_MAX: usize = 256;
/// Of all trailers together.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Follows one connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Of one head.
    head_bytes_max: usize,
    head_bytes: usize,
    part: Part,
    line: Vec<u8>,
    /// Of the request whose head is being read.
    length: Length,
    beginning: Beginning,
    has_request_line: bool,
    trailer_bytes: usize,
    begun: u64,
    /// An empty line before the next request was passed over.
    passed_over: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    /// Nothing of the next request is there.
    #[default]
    Between,
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// CR and LF behind a chunk; how many of them were there.
    ChunkEnd(u8),
    Trailers,
    /// Behind a head that does not say plainly how long its body is: nothing that comes can be followed. `head` refuses the request.
    Lost,
}

#[derive(Clone, Copy, Debug, Default)]
enum Length {
    #[default]
    None,
    Known(u64),
    Chunked,
    Unclear,
}

/// The bytes from here on are no HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokenAt(pub usize);

impl Requests {
    /// Of a new connection.
    pub fn new(head_bytes_max: usize) -> Requests {
        Requests { head_bytes_max, ..Requests::default() }
    }

    /// How many requests have begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// How the last of them began.
    pub fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    /// Whether so many requests are whole, and nothing of the next is there.
    pub fn are_whole(&self, requests: u64) -> bool {
        matches!(self.part, Part::Between) && self.begun >= requests
    }

    /// How many of these bytes stand before the next request and are to be dropped: one empty line (RFC 9112 §2.2), which some clients
    /// send behind a body. `None` if more of them must come to tell.
    pub fn pass_over(&mut self, bytes: &[u8]) -> Option<usize> {
        match bytes {
            [b'\r'] if self.may_pass_over() => None,
            [b'\r', b'\n', ..] if self.may_pass_over() => {
                self.passed_over = true;
                Some(2)
            }
            _ => Some(0),
        }
    }

    /// Whether an empty line that came now would be passed over.
    pub fn may_pass_over(&self) -> bool {
        matches!(self.part, Part::Between) && !self.passed_over
    }

    /// Takes note of bytes that arrived, up to the end of the connection's `most`-th request. Says how many those were.
    pub fn follow(&mut self, bytes: &[u8], most: u64) -> Result<usize, BrokenAt> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty() && !self.are_whole(most)) {
            at += self.step(rest).ok_or(BrokenAt(at))?;
        }
        Ok(at)
    }

    /// Goes on by some bytes; `None` if they are wrong.
    fn step(&mut self, rest: &[u8]) -> Option<usize> {
        match self.part {
            Part::Between => {
                self.begun += 1;
                (self.part, self.passed_over) = (Part::Head, false);
                (self.length, self.has_request_line, self.head_bytes, self.trailer_bytes) = (Length::None, false, 0, 0);
                self.beginning.clear();
                Some(0)
            }
            Part::Head => {
                let begins = !self.has_request_line;
                let taken = self.line(rest, Requests::head_line)?;
                if begins {
                    self.beginning.line(rest.get(..taken).unwrap_or_default());
                }
                self.head_bytes = self.head_bytes.saturating_add(taken);
                (self.head_bytes <= self.head_bytes_max).then_some(taken)
            }
            Part::Body(left) => Some(self.skip(left, rest, Part::Body, Part::Between)),
            Part::ChunkSize => self.line(rest, Requests::chunk_size),
            Part::ChunkData(left) => Some(self.skip(left, rest, Part::ChunkData, Part::ChunkEnd(0))),
            Part::ChunkEnd(seen) => {
                self.part = if seen == 0 { Part::ChunkEnd(1) } else { Part::ChunkSize };
                let expected = if seen == 0 { b'\r' } else { b'\n' };
                (rest.first() == Some(&expected)).then_some(1)
            }
            Part::Trailers => self.line(rest, Requests::trailer),
            Part::Lost => None,
        }
    }

    fn skip(&mut self, left: u64, rest: &[u8], during: fn(u64) -> Part, then: Part) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left.saturating_sub(taken as u64);
        self.part = if left == 0 { then } else { during(left) };
        taken
    }

    /// Gathers a line up to its LF, and hands it on without that.
    fn line(&mut self, rest: &[u8], done: fn(&mut Requests, &[u8]) -> Option<()>) -> Option<usize> {
        let end = memchr::memchr(b'\n', rest);
        let piece = &rest[..end.unwrap_or(rest.len())];
        if let (Some(end), Part::Head, true) = (end, self.part, self.line.is_empty()) {
            // Nearly every line of a head comes whole, and need not be gathered.
            done(self, piece)?;
            return Some(end + 1);
        }
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        if matches!(self.part, Part::Trailers) {
            self.trailer_bytes = self.trailer_bytes.saturating_add(piece.len());
        }
        let Some(end) = end else { return self.is_short().then_some(rest.len()) };
        let line = mem::take(&mut self.line);
        if !matches!(self.part, Part::Head) && (!self.is_short() || line.len() > LINE_BYTES_MAX) {
            return None;
        }
        done(self, &line)?;
        self.line = line;
        self.line.clear();
        Some(end + 1)
    }

    fn is_short(&self) -> bool {
        match self.part {
            Part::ChunkSize => self.line.len() <= LINE_BYTES_MAX,
            Part::Trailers => self.line.len() <= LINE_BYTES_MAX && self.trailer_bytes <= TRAILER_BYTES_MAX,
            _ => true,
        }
    }

    fn head_line(&mut self, line: &[u8]) -> Option<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && !self.has_request_line {
            // Pingora passes over it as well; `head` refuses the request.
            return Some(());
        }
        self.beginning.fields += usize::from(mem::replace(&mut self.has_request_line, true) && !line.is_empty());
        if line.is_empty() {
            self.part = match self.length {
                Length::None | Length::Known(0) => Part::Between,
                Length::Known(length) => Part::Body(length),
                Length::Chunked => Part::ChunkSize,
                Length::Unclear => Part::Lost,
            };
            return Some(());
        }
        // Of most fields the first letter says that they are not about length.
        if !line.trim_ascii_start().first().is_some_and(|first| matches!(first, b'C' | b'c' | b'T' | b't')) {
            return Some(());
        }
        let Some(colon) = memchr::memchr(b':', line) else { return Some(()) };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        let length = if name.eq_ignore_ascii_case(b"transfer-encoding") {
            value.eq_ignore_ascii_case(b"chunked").then_some(Length::Chunked)
        } else if name.eq_ignore_ascii_case(b"content-length") {
            known(value)
        } else {
            return Some(());
        };
        self.length = length.filter(|_| matches!(self.length, Length::None)).unwrap_or(Length::Unclear);
        Some(())
    }

    /// Hexadecimal digits, and extensions without control bytes.
    fn chunk_size(&mut self, line: &[u8]) -> Option<()> {
        let line = line.strip_suffix(b"\r")?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (digits, rest) = line.split_at(digits);
        let extension = rest.trim_ascii_start();
        let is_extension = extension.first() == Some(&b';') && !extension.iter().any(|&b| b.is_ascii_control() && b != b'\t');
        if digits.len() > 15 || !(rest.is_empty() || is_extension) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        self.part = if size == 0 { Part::Trailers } else { Part::ChunkData(size) };
        Some(())
    }

    fn trailer(&mut self, line: &[u8]) -> Option<()> {
        let line = line.strip_suffix(b"\r")?;
        if line.is_empty() {
            self.part = Part::Between;
        }
        line.iter().all(|&b| !b.is_ascii_control() || b == b'\t').then_some(())
    }
}

/// Plain digits, and nothing else that Rust or Pingora would take for a number.
fn known(value: &[u8]) -> Option<Length> {
    let digits = std::str::from_utf8(value).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    digits.parse().ok().map(Length::Known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD_BYTES_MAX: usize = 1_000;
    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\ntransfer-ENCODING:  chunked\r\n\r\n";

    /// As the bytes arrive one by one, and at once.
    fn follow(text: &str) -> Result<u64, usize> {
        let mut whole = Requests::new(HEAD_BYTES_MAX);
        let at_once = whole.follow(text.as_bytes(), u64::MAX).map(|_| whole.begun()).map_err(|e| e.0);
        let mut slow = Requests::new(HEAD_BYTES_MAX);
        let one_by_one =
            text.bytes().try_for_each(|byte| slow.follow(&[byte], u64::MAX).map(drop).map_err(drop)).map(|()| slow.begun());
        assert_eq!(at_once.ok(), one_by_one.ok(), "{text:?}");
        at_once
    }

    #[test]
    fn requests_are_counted_from_their_first_byte() {
        let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /";
        let chunks = format!("{CHUNKED}5;a=\"b\"\r\nGET /\r\n0\r\nX: y\r\n\r\n");
        for (text, requests) in [
            (String::new(), 0),
            ("P".to_owned(), 1),
            (get.repeat(3), 3),
            (get.repeat(3) + "G", 4),
            (format!("\r\n{get}\r\n\r\n{get}"), 2),
            (post.repeat(2), 2),
            (format!("{post}{chunks}{get}{chunks}{post}"), 5),
        ] {
            assert_eq!(follow(&text), Ok(requests), "{text:?}");
        }
    }

    #[test]
    fn one_request_is_followed_to_its_end_and_no_further() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /".to_owned();
        let chunks = format!("{CHUNKED}5\r\nGET /\r\n0\r\n\r\n");
        let (text, mut at, mut requests) = ([&*post, &chunks, &post].concat(), 0, Requests::new(HEAD_BYTES_MAX));
        for (most, request) in (1..).zip([&post, &chunks, &post]) {
            assert!(!requests.are_whole(most));
            assert_eq!(requests.follow(&text.as_bytes()[at..], most), Ok(request.len()));
            assert!(requests.are_whole(most) && requests.begun() == most);
            at += request.len();
        }
    }

    #[test]
    fn a_beginning_is_known_however_it_is_cut() {
        for (head, path, fields, respelled) in [
            ("GET /v1/x?y HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n", "/v1/x", 2, false),
            ("GET /v1/x\"<> HTTP/1.1\r\nA: b", "/v1/x\"<>", 0, false),
            ("GET /v1/x?a b HTTP/1.1\r\nA\r\n", "/v1/x", 1, true),
            ("GET /\x01 HTTP/1.1\r\n", "/\x01", 0, true),
            ("GET /a\rb HTTP/1.1\r\n", "/a", 0, true),
            ("\0\r\n\r\n", "", 0, false),
        ] {
            for piece in [1, 7, head.len()] {
                let mut requests = Requests::new(HEAD_BYTES_MAX);
                requests.follow(b"POST /before HTTP/1.1\r\n1: 2\r\n\r\n", 1).unwrap();
                for bytes in head.as_bytes().chunks(piece) {
                    requests.follow(bytes, 2).unwrap();
                }
                let found = requests.beginning();
                assert_eq!((found.path(), found.fields), (path.as_bytes(), fields), "{head:?} by {piece}");
                assert_eq!(found.is_respelled(), respelled, "{head:?} by {piece}");
            }
        }
    }

    #[test]
    fn one_empty_line_is_passed_over_and_only_before_a_request() {
        let mut requests = Requests::new(HEAD_BYTES_MAX);
        assert_eq!(
            [&b"\r"[..], b"", b"\n", b"G", b"\rG"].map(|bytes| requests.pass_over(bytes)),
            [None, Some(0), Some(0), Some(0), Some(0)]
        );
        assert_eq!([&b"\r\n"[..], b"\r\n", b"\r"].map(|bytes| requests.pass_over(bytes)), [Some(2), Some(0), Some(0)]);
        requests.follow(b"GET / HTTP/1.1\r\n", 1).unwrap();
        assert_eq!(requests.pass_over(b"\r\n"), Some(0), "it ends the head");
        requests.follow(b"\r\n", 1).unwrap();
        assert_eq!(requests.pass_over(b"\r\n"), Some(2));
    }

    #[test]
    fn chunks_that_two_parsers_could_read_differently_are_broken() {
        for chunks in [
            "2;\nxx\r\n{}\r\n0\r\n\r\n",
            "2;a\r\r\n{}\r\n0\r\n\r\n",
            "2 a\r\n{}\r\n0\r\n\r\n",
            "2\n{}\r\n0\r\n\r\n",
            "\r\n\r\n",
            ";a\r\n\r\n",
            "2\r\n{}\n0\r\n\r\n",
            "2\r\n{}\r\r0\r\n\r\n",
            "2\r\n{}XX0\r\n\r\n",
            "-2\r\n{}",
            "0x2\r\n{}",
            "1000000000000000\r\n{}",
            "2\r\n{}\r\n0\r\nX: y\n\r\n",
            "2\r\n{}\r\n0\r\n\n",
        ] {
            let found = follow(&format!("{CHUNKED}{chunks}"));
            assert!(found.is_err_and(|at| at >= CHUNKED.len()), "{chunks:?}: {found:?}");
        }
        for endless in [format!("2;{}", "a".repeat(300)), format!("0\r\n{}", "X: y\r\n".repeat(4_000))] {
            assert!(follow(&format!("{CHUNKED}{endless}")).is_err());
        }
    }

    #[test]
    fn nothing_is_followed_behind_a_head_whose_length_is_unclear() {
        for fields in [
            "Content-Length: 0, 0",
            "Content-Length: 3, 3",
            "Content-Length: +0",
            "Content-Length:",
            "Content-Length: 0x0",
            "Content-Length: 99999999999999999999",
            "Content-Length: 0\r\nContent-Length: 0",
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
            assert_eq!(follow(&head), Ok(1), "{fields:?}");
            assert_eq!(follow(&format!("{head}G")), Err(head.len()), "{fields:?}");
        }
    }

    #[test]
    fn a_head_is_followed_so_far_and_no_further_whatever_its_lines() {
        let head = |field: &str| format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
        let frame = head("").len();
        for bytes in [HEAD_BYTES_MAX, HEAD_BYTES_MAX + 1] {
            let long = head(&("X: ".to_owned() + &"x".repeat(bytes - frame - 3)));
            let lines = (bytes - frame) / 4 - 1;
            let many = head(&("x".repeat(bytes - frame - 4 * lines) + &"\r\nXY".repeat(lines)));
            for text in [long, many] {
                assert_eq!(text.len(), bytes);
                // A head of its own each.
                assert_eq!(follow(&text.repeat(2)).is_ok(), bytes == HEAD_BYTES_MAX, "{bytes}");
            }
        }
        assert!(follow(&"\r\n".repeat(HEAD_BYTES_MAX)).is_err(), "nor is what stands before one endless");
        let body = format!("POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5_000));
        assert_eq!(follow(&body.repeat(2)), Ok(2));
    }

    proptest! {
        #[test]
        fn what_is_written_in_chunks_is_followed_to_its_end(
            bodies in prop::collection::vec(prop::collection::vec("[\\x00-\\x7f]{1,40}", 0..5), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut text = String::new();
            for body in &bodies {
                text += CHUNKED;
                for chunk in body {
                    text += &format!("{:X};x=y\r\n{chunk}\r\n", chunk.len());
                }
                text += "0\r\n\r\n";
            }
            let (mut requests, at) = (Requests::new(HEAD_BYTES_MAX), cut.index(text.len()));
            prop_assert_eq!(requests.follow(&text.as_bytes()[..at], u64::MAX), Ok(at));
            prop_assert_eq!(requests.follow(&text.as_bytes()[at..], u64::MAX), Ok(text.len() - at));
            prop_assert_eq!(requests.begun(), bodies.len() as u64);
            prop_assert!(matches!(requests.part, Part::Between));
        }
    }
}
