//! Bytes read as choices: what turns an input of a fuzzer into a list of steps.

/// What is left of an input. Once it has ended, every choice is the first one and every number 0.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Begins to read.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    /// Whether nothing is left: the end of every list of steps.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Exactly `N` bytes, zeros where the input ends.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Two bytes, as a number.
    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Four bytes, as a number.
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// One of `count` choices, at most 256.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// A short run of bytes: its length, one byte, comes first.
    pub(crate) fn run(&mut self) -> &'a [u8] {
        let length = self.byte();
        self.take(length.into())
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Changes `bytes` as the input says, at most eight times: a byte, a bit, a cut, a repeated piece. An
/// input that has ended changes nothing.
pub(crate) fn spoil(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..8 {
        if input.is_empty() {
            return;
        }
        let at = if bytes.is_empty() { 0 } else { usize::from(input.u16()) % bytes.len() };
        match input.below(6) {
            0 => return,
            1 => bytes.truncate(at),
            2 => bytes.extend_from_slice(input.run()),
            3 if !bytes.is_empty() => bytes[at] = input.byte(),
            4 if !bytes.is_empty() => bytes[at] ^= 1 << input.below(8),
            _ => {
                let end = bytes.len().min(at + usize::from(input.byte()));
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
