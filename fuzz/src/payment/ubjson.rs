//! UBJSON against a second reader, which was written from `docs/protocol-payments.md`.

use payment::ubjson::{DEPTH_MAX, ELEMENTS_MAX, Value};

/// Any bytes: read as the plain reader reads them, or refused as it refuses them; and what was read is
/// written in one form, which is read as the same.
pub fn ubjson(bytes: &[u8]) {
    let read = Value::from_bytes(bytes);
    assert_eq!(read.as_ref().ok(), Plain::read(bytes).as_ref());
    if let Ok(value) = read {
        let written = value.to_bytes();
        assert!(written.len() <= 2 * bytes.len() + 8, "{} of {}", written.len(), bytes.len());
        assert_eq!(Value::from_bytes(&written), Ok(value));
    }
}

/// The model: it says what is read, and of what is refused only that.
struct Plain<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl Plain<'_> {
    fn read(bytes: &[u8]) -> Option<Value> {
        let mut plain = Plain { bytes, at: 0, values: 0 };
        let mark = plain.byte()?;
        let value = plain.value(mark, 0)?;
        (plain.at == bytes.len()).then_some(value)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn value(&mut self, mark: u8, depth: usize) -> Option<Value> {
        self.values += 1;
        if self.values > ELEMENTS_MAX {
            return None;
        }
        Some(match mark {
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'C' => Value::Text(String::from_utf8(vec![self.byte()?]).ok()?),
            b'S' => Value::Text(self.text()?),
            b'[' | b'{' if depth >= DEPTH_MAX => return None,
            b'[' => self.list(depth + 1)?,
            b'{' => self.map(depth + 1)?,
            _ => Value::Int(self.int(mark)?),
        })
    }

    fn int(&mut self, mark: u8) -> Option<i64> {
        Some(match mark {
            b'U' => self.byte()?.into(),
            b'i' => i8::from_be_bytes([self.byte()?]).into(),
            b'I' => i16::from_be_bytes([self.byte()?, self.byte()?]).into(),
            b'l' => i32::from_be_bytes(self.part(4)?.try_into().ok()?).into(),
            b'L' => i64::from_be_bytes(self.part(8)?.try_into().ok()?),
            _ => return None,
        })
    }

    fn part(&mut self, size: usize) -> Option<Vec<u8>> {
        let part = self.bytes.get(self.at..self.at.checked_add(size)?)?.to_vec();
        self.at += size;
        Some(part)
    }

    /// A count or a length.
    fn size(&mut self) -> Option<usize> {
        let mark = self.byte()?;
        let size = usize::try_from(self.int(mark)?).ok()?;
        (size <= self.bytes.len() - self.at).then_some(size)
    }

    fn text(&mut self) -> Option<String> {
        let size = self.size()?;
        String::from_utf8(self.part(size)?).ok()
    }

    /// The one type of all elements, and how many there are, where that is said in front.
    fn head(&mut self) -> Option<(Option<u8>, Option<usize>)> {
        let mut mark = None;
        if self.peek()? == b'$' {
            self.at += 1;
            mark = Some(self.byte().filter(|mark| b"iUIlL".contains(mark))?);
            self.peek().filter(|next| *next == b'#')?;
        }
        if self.peek()? != b'#' {
            return Some((None, None));
        }
        self.at += 1;
        Some((mark, Some(self.size()?)))
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let (mark, count) = self.head()?;
        if let (Some(b'U'), Some(count)) = (mark, count) {
            return self.part(count).map(Value::Bytes);
        }
        let mut list = Vec::new();
        while self.goes_on(count, list.len(), b']')? {
            let mark = if let Some(mark) = mark { mark } else { self.byte()? };
            list.push(self.value(mark, depth)?);
        }
        Some(Value::List(list))
    }

    fn map(&mut self, depth: usize) -> Option<Value> {
        let (mark, count) = self.head()?;
        let mut map: Vec<(String, Value)> = Vec::new();
        while self.goes_on(count, map.len(), b'}')? {
            let name = self.text()?;
            if map.iter().any(|(other, _)| *other == name) {
                return None;
            }
            let mark = if let Some(mark) = mark { mark } else { self.byte()? };
            map.push((name, self.value(mark, depth)?));
        }
        Some(Value::Map(map))
    }

    fn goes_on(&mut self, count: Option<usize>, have: usize, end: u8) -> Option<bool> {
        if let Some(count) = count {
            return Some(have < count);
        }
        let ends = self.peek()? == end;
        self.at += usize::from(ends);
        Some(!ends)
    }
}
