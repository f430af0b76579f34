//! Strict and canonical UBJSON: what documents, requests and records are written in.
//!
//! ```text
//! null Z · true T · false F · integers i U I l L · text S or C · bytes [$U#n… · list [ … ] · map { … }
//! ```
//! Written is one form only: the narrowest integer (`U` for 0 to 255, else `i`, `I`, `l`, `L`), `C` for a
//! text of one ASCII character, bytes as a counted list of type `U`, lists and maps with an end and
//! without a count. This is also what the Python package `py-ubjson` writes. Read are integers of any
//! width and counted and typed containers; floats, no-ops, high-precision numbers, typed containers of
//! other than integers, duplicate keys, texts that are not UTF-8 and trailing bytes are refused.
//!
//! What always holds: work is bounded by the bytes given. A count never exceeds the bytes that remain,
//! nesting never [`DEPTH_MAX`], and all values together never [`ELEMENTS_MAX`].
//! Absent: what keys mean; see [`Fields`] and `document`.

use std::fmt;

/// The deepest nesting of lists and maps.
pub const DEPTH_MAX: usize = 8;

/// The most values in one text, containers and their elements alike; bytes count as one.
pub const ELEMENTS_MAX: usize = 1000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Named values in order; no name stands twice.
    Map(Vec<(String, Value)>),
}

/// The most that is counted anywhere: far below what a number here holds.
pub const COUNT_MAX: u64 = 1 << 62;

impl From<u64> for Value {
    /// Takes a number below 2⁶³.
    ///
    /// # Panics
    /// Above: amounts and dates that come from outside are bounded when read.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).expect("numbers in documents are below 2^63"))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Makes a map from names and values, in the order given.
pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Value {
    /// Writes the one canonical form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(b'Z'),
            Self::Bool(true) => out.push(b'T'),
            Self::Bool(false) => out.push(b'F'),
            Self::Int(number) => write_int(*number, out),
            Self::Text(text) if text.len() == 1 => out.extend([b'C', text.as_bytes()[0]]),
            Self::Text(text) => {
                out.push(b'S');
                write_sized(text.as_bytes(), out);
            }
            Self::Bytes(bytes) => {
                out.extend(b"[$U#");
                write_sized(bytes, out);
            }
            Self::List(values) => {
                out.push(b'[');
                values.iter().for_each(|value| value.write(out));
                out.push(b']');
            }
            Self::Map(entries) => {
                out.push(b'{');
                for (name, value) in entries {
                    write_sized(name.as_bytes(), out);
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// Reads one value that takes up all of `bytes`.
    ///
    /// # Errors
    /// What is wrong first; see [`Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader { rest: bytes, elements: 0 };
        let kind = reader.byte()?;
        let value = reader.value(kind, 0)?;
        match reader.rest.is_empty() {
            true => Ok(value),
            false => Err(Malformed::TrailingBytes),
        }
    }
}

fn write_sized(bytes: &[u8], out: &mut Vec<u8>) {
    write_int(i64::try_from(bytes.len()).expect("memory is smaller than 2^63 bytes"), out);
    out.extend_from_slice(bytes);
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    if let Ok(byte) = u8::try_from(number) {
        out.extend([b'U', byte]);
    } else if let Ok(small) = i8::try_from(number) {
        out.push(b'i');
        out.extend(small.to_be_bytes());
    } else if let Ok(short) = i16::try_from(number) {
        out.push(b'I');
        out.extend(short.to_be_bytes());
    } else if let Ok(long) = i32::try_from(number) {
        out.push(b'l');
        out.extend(long.to_be_bytes());
    } else {
        out.push(b'L');
        out.extend(number.to_be_bytes());
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    elements: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(size).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn peek(&self) -> Result<u8, Malformed> {
        self.rest.first().copied().ok_or(Malformed::Truncated)
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value, Malformed> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Malformed::TooManyElements);
        }
        match kind {
            b'Z' => Ok(Value::Null),
            b'T' => Ok(Value::Bool(true)),
            b'F' => Ok(Value::Bool(false)),
            b'i' | b'U' | b'I' | b'l' | b'L' => self.int(kind).map(Value::Int),
            b'C' => match self.byte()? {
                byte @ 0..=127 => Ok(Value::Text(char::from(byte).to_string())),
                _ => Err(Malformed::NotUtf8),
            },
            b'S' => self.text().map(Value::Text),
            b'[' | b'{' if depth == DEPTH_MAX => Err(Malformed::TooDeep),
            b'[' => self.list(depth + 1),
            b'{' => self.map(depth + 1),
            b'd' | b'D' => Err(Malformed::Float),
            b'H' => Err(Malformed::HighPrecision),
            b'N' => Err(Malformed::NoOp),
            _ => Err(Malformed::UnknownType),
        }
    }

    fn int(&mut self, kind: u8) -> Result<i64, Malformed> {
        let width = match kind {
            b'i' | b'U' => 1,
            b'I' => 2,
            b'l' => 4,
            b'L' => 8,
            _ => return Err(Malformed::NotASize),
        };
        let bytes = self.take(width)?;
        let negative = kind != b'U' && bytes[0] >= 128;
        let fill = if negative { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[8 - width..].copy_from_slice(bytes);
        Ok(i64::from_be_bytes(wide))
    }

    /// A count or a length, never more than the bytes that remain.
    fn size(&mut self) -> Result<usize, Malformed> {
        let kind = self.byte()?;
        let size = usize::try_from(self.int(kind)?).map_err(|_| Malformed::NotASize)?;
        if size > self.rest.len() { Err(Malformed::Truncated) } else { Ok(size) }
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let size = self.size()?;
        let bytes = self.take(size)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed::NotUtf8)
    }

    /// Reads `$type` and `#count` in front of a container, if they are there.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), Malformed> {
        let kind = match self.peek()? {
            b'$' => {
                self.byte()?;
                let kind = self.byte()?;
                if !matches!(kind, b'i' | b'U' | b'I' | b'l' | b'L') {
                    return Err(Malformed::TypedContainer);
                }
                if self.peek()? != b'#' {
                    return Err(Malformed::TypeWithoutCount);
                }
                Some(kind)
            }
            _ => None,
        };
        match self.peek()? {
            b'#' => {
                self.byte()?;
                self.size().map(|count| (kind, Some(count)))
            }
            _ => Ok((kind, None)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Malformed> {
        let (kind, count) = self.header()?;
        if let (Some(b'U'), Some(count)) = (kind, count) {
            return self.take(count).map(|bytes| Value::Bytes(bytes.to_vec()));
        }
        let mut values = Vec::new();
        while self.more(count, values.len(), b']')? {
            let kind = kind.map_or_else(|| self.byte(), Ok)?;
            values.push(self.value(kind, depth)?);
        }
        Ok(Value::List(values))
    }

    fn map(&mut self, depth: usize) -> Result<Value, Malformed> {
        let (kind, count) = self.header()?;
        let mut entries: Vec<(String, Value)> = Vec::new();
        while self.more(count, entries.len(), b'}')? {
            let name = self.text()?;
            if entries.iter().any(|(other, _)| *other == name) {
                return Err(Malformed::DuplicateKey);
            }
            let kind = kind.map_or_else(|| self.byte(), Ok)?;
            entries.push((name, self.value(kind, depth)?));
        }
        Ok(Value::Map(entries))
    }

    /// Whether another element comes: by the count, else by the end mark, which is then taken.
    fn more(&mut self, count: Option<usize>, have: usize, end: u8) -> Result<bool, Malformed> {
        match count {
            Some(count) => Ok(have < count),
            None if self.peek()? == end => self.byte().map(|_| false),
            None => Ok(true),
        }
    }
}

/// Why bytes are not the UBJSON that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end too early, or a count is larger than what remains.
    Truncated,
    /// Bytes are left over.
    TrailingBytes,
    /// A type mark that UBJSON does not have.
    UnknownType,
    /// A float; nothing here is measured.
    Float,
    /// A number in words.
    HighPrecision,
    /// A mark without a meaning.
    NoOp,
    /// A length that is no integer, or negative.
    NotASize,
    /// A typed container of other than integers.
    TypedContainer,
    /// A typed container without a count.
    TypeWithoutCount,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A key that stands twice in a map.
    DuplicateKey,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// More than [`ELEMENTS_MAX`] values.
    TooManyElements,
    /// Not a map where one was expected.
    NotAMap,
    /// Another key than the next one expected, or none.
    MissingKey(&'static str),
    /// A key after the last one expected.
    UnknownKey,
    /// A value of another type, size or range than this key has.
    WrongValue(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingKey(key) => write!(f, "the next key is not {key}"),
            Self::WrongValue(key) => write!(f, "the value of {key} does not fit"),
            other => write!(f, "not the UBJSON expected: {other:?}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The entries of a map, taken one by one in the stated order. Nothing may be left at the end.
pub struct Fields(std::vec::IntoIter<(String, Value)>);

impl Fields {
    /// Opens a map.
    ///
    /// # Errors
    /// [`Malformed::NotAMap`].
    pub fn new(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Map(entries) => Ok(Self(entries.into_iter())),
            _ => Err(Malformed::NotAMap),
        }
    }

    /// The next value, which must have this name.
    ///
    /// # Errors
    /// [`Malformed::MissingKey`].
    pub fn take(&mut self, name: &'static str) -> Result<Value, Malformed> {
        match self.0.next() {
            Some((found, value)) if found == name => Ok(value),
            Some(_) | None => Err(Malformed::MissingKey(name)),
        }
    }

    /// Ends the map.
    ///
    /// # Errors
    /// [`Malformed::UnknownKey`] if something is left.
    pub fn end(mut self) -> Result<(), Malformed> {
        self.0.next().map_or(Ok(()), |_| Err(Malformed::UnknownKey))
    }

    /// The next value as a number that is not negative.
    ///
    /// # Errors
    /// [`Malformed::MissingKey`] or [`Malformed::WrongValue`], here and below.
    pub fn number(&mut self, name: &'static str) -> Result<u64, Malformed> {
        match self.take(name)? {
            Value::Int(number) => u64::try_from(number).map_err(|_| Malformed::WrongValue(name)),
            _ => Err(Malformed::WrongValue(name)),
        }
    }

    /// The next value as a count: one to which more may be added, and which may be written again.
    ///
    /// # Errors
    /// [`Malformed::WrongValue`] if it is none, or nobody ever counted so far.
    pub fn count(&mut self, name: &'static str) -> Result<u64, Malformed> {
        let count = self.number(name)?;
        if count <= COUNT_MAX { Ok(count) } else { Err(Malformed::WrongValue(name)) }
    }

    /// The next value as a number that fits a smaller type.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn small<N: TryFrom<u64>>(&mut self, name: &'static str) -> Result<N, Malformed> {
        N::try_from(self.number(name)?).map_err(|_| Malformed::WrongValue(name))
    }

    /// The next value as yes or no.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Malformed> {
        match self.take(name)? {
            Value::Bool(flag) => Ok(flag),
            _ => Err(Malformed::WrongValue(name)),
        }
    }

    /// The next value as a text.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn text(&mut self, name: &'static str) -> Result<String, Malformed> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(Malformed::WrongValue(name)),
        }
    }

    /// The next value as bytes.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn bytes(&mut self, name: &'static str) -> Result<Vec<u8>, Malformed> {
        match self.take(name)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::WrongValue(name)),
        }
    }

    /// The next value as exactly `N` bytes.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], Malformed> {
        self.bytes(name)?.try_into().map_err(|_| Malformed::WrongValue(name))
    }

    /// The next value as a list.
    ///
    /// # Errors
    /// As [`Self::number`].
    pub fn list(&mut self, name: &'static str) -> Result<Vec<Value>, Malformed> {
        match self.take(name)? {
            Value::List(values) => Ok(values),
            _ => Err(Malformed::WrongValue(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(bytes: &[u8]) -> Malformed {
        Value::from_bytes(bytes).unwrap_err()
    }

    #[test]
    fn nine_bytes_do_not_become_fifty_million_elements() {
        assert_eq!(refused(b"[$Z#l\x02\xfa\xf0\x80"), Malformed::TypedContainer);
        assert_eq!(refused(b"[#l\x02\xfa\xf0\x80Z"), Malformed::Truncated);
        assert_eq!(refused(b"[$U#l\x02\xfa\xf0\x80"), Malformed::Truncated);
        assert_eq!(refused(b"{$T#U\x03"), Malformed::TypedContainer);
        assert_eq!(refused(b"SL\x7f\xff\xff\xff\xff\xff\xff\xff"), Malformed::Truncated);
    }

    #[test]
    fn each_thing_that_is_refused_has_its_name() {
        assert_eq!(refused(b""), Malformed::Truncated);
        assert_eq!(refused(b"ZZ"), Malformed::TrailingBytes);
        assert_eq!(refused(b"d\0\0\0\0"), Malformed::Float);
        assert_eq!(refused(b"HU\x011"), Malformed::HighPrecision);
        assert_eq!(refused(b"[N]"), Malformed::NoOp);
        assert_eq!(refused(b"?"), Malformed::UnknownType);
        assert_eq!(refused(b"Si\xff"), Malformed::NotASize);
        assert_eq!(refused(b"SS"), Malformed::NotASize);
        assert_eq!(refused(b"[$U]"), Malformed::TypeWithoutCount);
        assert_eq!(refused(b"SU\x01\xff"), Malformed::NotUtf8);
        assert_eq!(refused(b"C\x80"), Malformed::NotUtf8);
        assert_eq!(refused(b"{U\x01aZU\x01aZ}"), Malformed::DuplicateKey);
        assert_eq!(refused(&[b'['; 9]), Malformed::TooDeep);
        assert_eq!(refused(&[b"[", &[b'Z'; 1000][..], b"]"].concat()), Malformed::TooManyElements);
        assert!(Value::from_bytes(&[b"[", &[b'Z'; 999][..], b"]"].concat()).is_ok());
        assert!(Value::from_bytes(&[&[b'['; 8][..], &[b']'; 8]].concat()).is_ok());
    }

    #[test]
    fn integers_of_any_width_are_read_and_the_narrowest_written() {
        for wide in [&b"U\x07"[..], b"i\x07", b"I\0\x07", b"l\0\0\0\x07", b"L\0\0\0\0\0\0\0\x07"] {
            let value = Value::from_bytes(wide).unwrap();
            assert_eq!(value, Value::Int(7));
            assert_eq!(value.to_bytes(), b"U\x07");
        }
        assert_eq!(
            Value::from_bytes(b"[$I#U\x02\xff\xfe\x01\0").unwrap().to_bytes(),
            b"[i\xfeI\x01\0]"
        );
    }

    #[test]
    fn fields_come_in_order_and_none_is_left() {
        let value = || map([("a", Value::Int(1)), ("b", Value::Int(300))]);
        let mut fields = Fields::new(value()).unwrap();
        assert_eq!(fields.take("b").unwrap_err(), Malformed::MissingKey("b"));
        let mut fields = Fields::new(value()).unwrap();
        assert_eq!(fields.number("a"), Ok(1));
        assert_eq!(fields.small::<u8>("b"), Err(Malformed::WrongValue("b")));
        let mut fields = Fields::new(value()).unwrap();
        fields.number("a").unwrap();
        assert_eq!(fields.end(), Err(Malformed::UnknownKey));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-300i64..300).prop_map(Value::Int),
            ".{0,4}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map("[a-z]{0,3}", inner, 0..6)
                    .prop_map(|map| Value::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in value()) {
            prop_assert_eq!(Value::from_bytes(&value.to_bytes()), Ok(value));
        }

        #[test]
        fn strange_bytes_are_refused_or_read_for_good(
            bytes in prop::collection::vec(prop_oneof![
                Just(b'['), Just(b']'), Just(b'{'), Just(b'}'), Just(b'$'), Just(b'#'), Just(b'U'),
                Just(b'i'), Just(b'Z'), Just(b'S'), Just(b'C'), 0u8..5, any::<u8>(),
            ], 0..40),
        ) {
            if let Ok(value) = Value::from_bytes(&bytes) {
                let written = value.to_bytes();
                prop_assert_eq!(Value::from_bytes(&written), Ok(value));
            }
        }
    }
}
