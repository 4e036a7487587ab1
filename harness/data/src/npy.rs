//! The header of an npy file: a Python dictionary, of which three keys matter.

use super::error::Problem;
use super::read::{Element, short_read};
use std::io::Read;

/// No honest header is longer; numpy itself refuses more than 10,000 by default.
const MAX_HEADER: u64 = 1 << 16;

/// What the header says of a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub element: Element,
    pub rows: u64,
    pub dim: u64,
    /// Bytes before the first value.
    pub bytes: u64,
}

/// Reads the header from the beginning of a file of `len` bytes.
pub(super) fn header(source: &mut dyn Read, len: u64) -> Result<Header, Problem> {
    if len < 10 {
        return Err(Problem::ShortHeader { len, need: 10 });
    }
    let mut fixed = [0; 10];
    source.read_exact(&mut fixed).map_err(|e| short_read(e, 0))?;
    if &fixed[..6] != b"\x93NUMPY" {
        return Err(Problem::NpyMagic);
    }
    let (major, minor) = (fixed[6], fixed[7]);
    let low = u16::from_le_bytes([fixed[8], fixed[9]]);
    let (start, text_bytes) = match (major, minor) {
        (1, 0) => (10, u64::from(low)),
        (2 | 3, 0) => {
            if len < 12 {
                return Err(Problem::ShortHeader { len, need: 12 });
            }
            let mut high = [0; 2];
            source.read_exact(&mut high).map_err(|e| short_read(e, 10))?;
            (12, u64::from(low) | u64::from(u16::from_le_bytes(high)) << 16)
        }
        _ => return Err(Problem::NpyVersion { major, minor }),
    };
    if start + text_bytes > len {
        return Err(Problem::ShortHeader { len, need: start + text_bytes });
    }
    if text_bytes > MAX_HEADER {
        return Err(Problem::NpyHeader { offset: 8, expected: "a header of at most 65536 bytes" });
    }
    let mut text = vec![0; text_bytes as usize];
    source.read_exact(&mut text).map_err(|e| short_read(e, start))?;
    let fields = Parser { text: &text, at: 0, start }.dictionary()?;
    if fields.fortran {
        return Err(Problem::NpyOrder);
    }
    let element = match fields.descr.as_str() {
        "<f4" => Element::F32,
        "<f2" => Element::F16,
        "<f8" => Element::F64,
        "|u1" | "<u1" => Element::U8,
        "|i1" | "<i1" => Element::I8,
        "<i4" => Element::I32,
        "<u4" => Element::U32,
        "<i8" => Element::I64,
        _ => return Err(Problem::NpyType { descr: fields.descr }),
    };
    match fields.shape[..] {
        [rows, dim] => Ok(Header { element, rows, dim, bytes: start + text_bytes }),
        _ => Err(Problem::NpyRank { rank: fields.shape.len() }),
    }
}

struct Fields {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 128), }`.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the text starts in the file, for messages.
    start: u64,
}

impl<'a> Parser<'a> {
    fn dictionary(mut self) -> Result<Fields, Problem> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{', "'{'")?;
        while !self.skip(b'}') {
            let key = self.string()?;
            self.expect(b':', "':'")?;
            match key {
                b"descr" => descr = Some(self.descr()?),
                b"fortran_order" => fortran = Some(self.boolean()?),
                b"shape" => shape = Some(self.tuple()?),
                _ => return Err(self.broken("'descr', 'fortran_order' or 'shape'")),
            }
            if !self.skip(b',') {
                self.expect(b'}', "',' or '}'")?;
                break;
            }
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok(Fields { descr, fortran, shape }),
            _ => Err(self.broken("all of 'descr', 'fortran_order' and 'shape'")),
        }
    }

    fn broken(&self, expected: &'static str) -> Problem {
        Problem::NpyHeader { offset: self.start + self.at as u64, expected }
    }

    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is next.
    fn skip(&mut self, byte: u8) -> bool {
        self.blanks();
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), Problem> {
        if self.skip(byte) { Ok(()) } else { Err(self.broken(name)) }
    }

    fn string(&mut self) -> Result<&'a [u8], Problem> {
        self.blanks();
        let quote = match self.text.get(self.at) {
            Some(&quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.broken("a string")),
        };
        let from = self.at + 1;
        match self.text[from..].iter().position(|&b| b == quote) {
            Some(length) => {
                self.at = from + length + 1;
                Ok(&self.text[from..from + length])
            }
            None => Err(self.broken("a closed string")),
        }
    }

    /// The type; a list means a record type, whose fields do not matter because it is refused.
    fn descr(&mut self) -> Result<String, Problem> {
        self.blanks();
        if self.text.get(self.at) == Some(&b'[') {
            return Err(Problem::NpyType { descr: "record".into() });
        }
        Ok(self.string()?.escape_ascii().to_string())
    }

    fn boolean(&mut self) -> Result<bool, Problem> {
        self.blanks();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.broken("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<u64>, Problem> {
        self.expect(b'(', "'('")?;
        let mut numbers = Vec::new();
        while !self.skip(b')') {
            numbers.push(self.number()?);
            if !self.skip(b',') {
                self.expect(b')', "',' or ')'")?;
                break;
            }
        }
        Ok(numbers)
    }

    fn number(&mut self) -> Result<u64, Problem> {
        self.blanks();
        let digits = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = str::from_utf8(&self.text[self.at..self.at + digits]).unwrap_or_default();
        let number = text.parse().map_err(|_| self.broken("a number below 2^64"))?;
        self.at += digits;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Header, String> {
        header(&mut &bytes[..], bytes.len() as u64).map_err(|e| e.to_string())
    }

    #[test]
    fn the_three_versions_say_the_same() {
        let text = "{'descr': '<f2', 'fortran_order': False, 'shape': (10, 128), }   \n";
        for (version, start) in [(1, 10), (2, 12), (3, 12)] {
            let expected =
                Header { element: Element::F16, rows: 10, dim: 128, bytes: start + text.len() as u64 };
            assert_eq!(parse(&file(version, text)), Ok(expected));
        }
    }

    #[test]
    fn order_of_keys_quotes_and_blanks_do_not_matter() {
        let header = parse(&file(1, "{\"shape\":(3 , 4),'fortran_order':False,'descr':'|u1'}")).unwrap();
        assert_eq!((header.element, header.rows, header.dim), (Element::U8, 3, 4));
    }

    #[test]
    fn each_refusal_names_its_reason() {
        let dict = |descr: &str, order: &str, shape: &str| {
            parse(&file(1, &format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}")))
                .unwrap_err()
        };
        assert!(dict("'<f4'", "True", "(2, 2)").contains("numpy.ascontiguousarray"));
        assert!(dict("'|O'", "False", "(2, 2)").contains("type |O"));
        assert!(dict("'>f4'", "False", "(2, 2)").contains("type >f4"));
        assert!(dict("[('a', '<f4')]", "False", "(2, 2)").contains("type record"));
        assert!(dict("'<f4'", "False", "(4,)").contains("array of 1 dimensions"));
        assert!(dict("'<f4'", "False", "(4, 2, 3)").contains("array of 3 dimensions"));
        assert!(dict("'<f4'", "False", "()").contains("array of 0 dimensions"));
        assert!(dict("'<f4'", "Perhaps", "(2, 2)").contains("True or False expected"));
        assert!(dict("'<f4'", "False", "(-2, 2)").contains("a number below 2^64 expected"));
        assert!(dict("'<f4'", "False", "(99999999999999999999, 2)").contains("a number below 2^64 expected"));
        assert!(dict("'<f4", "False", "(2, 2)").contains("expected"));
        assert!(parse(&file(1, "{'descr': '<f4'}")).unwrap_err().contains("all of 'descr'"));
        assert!(parse(&file(1, "{'colour': 1}")).unwrap_err().contains("broken at byte"));
        assert!(parse(&file(4, "{}")).unwrap_err().contains("version 4.0"));
        assert!(parse(b"\x93NUMPI\x01\0\x02\0{}").unwrap_err().contains("does not begin"));
        assert!(parse(b"\x93NUM").unwrap_err().contains("inside its header of 10 bytes"));
        assert!(
            parse(b"\x93NUMPY\x01\0\xff\xff{}").unwrap_err().contains("inside its header of 65545 bytes")
        );
        assert!(parse(&file(2, &" ".repeat(70_000))).unwrap_err().contains("at most 65536 bytes"));
    }
}
