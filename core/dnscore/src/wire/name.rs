//! A query name: lower case, wire form, root byte included, in a fixed inline buffer.
//!
//! RFC 1035, 3.1 and RFC 4343: labels of 1 to 63 octets, 255 octets in all, any octet allowed, ASCII case ignored.

use crate::narrow::to_u8;

/// The longest name in wire form, root byte included (RFC 1035, 2.3.4).
pub const MAX_NAME: usize = 255;

/// Octets that a name is held in: the longest, and behind the last place of a label's length as many as a label has.
pub const NAME_ROOM: usize = MAX_NAME + 65;

/// Labels whose places are kept.
pub const KEPT_STARTS: usize = 8;

/// A name in lower-case wire form.
#[derive(Clone, Copy)]
pub struct Name {
    /// Zeros follow the name up to the next 16; what stands after those means nothing.
    bytes: [u8; NAME_ROOM],
    length: u8,
    labels: u8,
    /// Where the length octets of the first labels are.
    starts: [u8; KEPT_STARTS],
}

/// Why bytes are not a name as a question may carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It runs past the end of the message.
    CutShort,
    /// It is longer than 255 octets.
    TooLong,
    /// A compression pointer or a reserved label type, where nothing can lie before to be pointed at.
    LabelType,
}

impl Name {
    /// The root.
    pub const ROOT: Name = Name { bytes: [0; NAME_ROOM], length: 1, labels: 0, starts: [0; KEPT_STARTS] };

    /// Reads an uncompressed name at `start`. Returns it with the offset of the first byte after it.
    pub fn read(packet: &[u8], start: usize) -> Result<(Name, usize), BadName> {
        let mut name = Name::ROOT;
        let end = name.fill(packet, start)?;
        Ok((name, end))
    }

    /// The same into a name that is at hand, of which nothing stays.
    #[inline(always)]
    pub fn fill(&mut self, packet: &[u8], start: usize) -> Result<usize, BadName> {
        let (length, labels) = measure(packet, start, &mut self.starts)?;
        let end = start + length;
        // Sixteen octets at a time, and zeros after the last.
        let (whole, rest) = packet[start..end].as_chunks::<16>();
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        for (place, chunk) in self.bytes.as_chunks_mut::<16>().0.iter_mut().zip(whole.iter().chain([&last])) {
            // Length octets are at most 63, below 'A': the whole form is lower-cased without looking for labels.
            *place = chunk.map(|octet| octet.to_ascii_lowercase());
        }
        self.length = to_u8(length);
        self.labels = labels;
        Ok(end)
    }

    /// A name from text as people write it (`www.example.com`, final dot optional, no escapes). For configuration and
    /// tests; `None` where it is no name.
    pub fn from_text(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = [0u8; MAX_NAME];
        let mut at = 0;
        if !text.is_empty() {
            for label in text.split('.') {
                if label.is_empty() || label.len() > 63 || at + 1 + label.len() >= MAX_NAME {
                    return None;
                }
                wire[at] = to_u8(label.len());
                wire[at + 1..at + 1 + label.len()].copy_from_slice(label.as_bytes());
                at += 1 + label.len();
            }
        }
        Name::read(&wire[..at + 1], 0).ok().map(|(name, _)| name)
    }

    /// The wire form of the name that is so many labels shorter; the root's where there are not so many.
    pub fn without(&self, labels: u8) -> &[u8] {
        let wire = self.wire();
        let start = (0..labels).try_fold(0, |at, _| match wire.get(at) {
            Some(&length) if length > 0 => Some(at + 1 + usize::from(length)),
            _ => None,
        });
        &wire[start.filter(|&at| at < wire.len()).unwrap_or(wire.len() - 1)..]
    }

    /// Whether it is the name of this lower-case wire form, or below it.
    #[inline]
    pub fn is_at_or_below(&self, apex: &[u8]) -> bool {
        let Some(at) = self.wire().len().checked_sub(apex.len()) else { return false };
        // The same octets may also stand within a label.
        self.wire()[at..] == *apex && (0..=self.labels).any(|distance| self.ancestor(distance) == at)
    }

    /// The lower-case wire form, root byte included.
    #[inline(always)]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Length of the wire form: 1 (the root) to 255.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)] // a name has at least its root byte
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// The wire form in chunks of 16, the last filled up with zeros.
    #[inline(always)]
    pub fn padded(&self) -> &[[u8; 16]] {
        &self.bytes.as_chunks().0[..usize::from(self.length).div_ceil(16)]
    }

    /// The octets that the name is held in: its wire form first, then what means nothing.
    #[inline(always)]
    pub fn held(&self) -> &[u8; NAME_ROOM] {
        &self.bytes
    }

    /// Where, in the wire form, the length octets of the first [`KEPT_STARTS`] labels are.
    #[inline(always)]
    pub fn starts(&self) -> &[u8] {
        &self.starts[..usize::from(self.labels).min(KEPT_STARTS)]
    }

    /// Labels, the root not counted: 0 to 127.
    #[inline(always)]
    pub fn labels(&self) -> u8 {
        self.labels
    }

    /// Labels that stand before the name of the host that is meant: those of `_8443._https.host`, where browsers ask for
    /// the HTTPS records of an origin on another port than 443 (RFC 9460, 9.1), else 0. They end at the last `_https`.
    #[inline]
    pub fn service_labels(&self) -> u8 {
        // As good as every name has no such label first.
        if self.bytes[1] != b'_' || self.bytes[0] == 0 { 0 } else { self.labels_to_service() }
    }

    #[cold]
    fn labels_to_service(&self) -> u8 {
        let mut found = 0;
        let mut at = 0;
        for distance in 0..self.labels {
            if distance > 0 && self.wire()[at..].starts_with(b"\x06_https") {
                found = distance + 1;
            }
            at += 1 + usize::from(self.bytes[at]);
        }
        found
    }

    /// Offset, within the wire form, of the ancestor `distance` labels up (0: the name itself). Beyond the root: the
    /// root's offset.
    #[inline]
    pub fn ancestor(&self, distance: u8) -> usize {
        let mut at = 0;
        for _ in 0..distance.min(self.labels) {
            at += 1 + usize::from(self.bytes[at]);
        }
        at
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for Name {}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut at = 0;
        while self.bytes[at] != 0 {
            let label = &self.bytes[at + 1..at + 1 + usize::from(self.bytes[at])];
            write!(f, "{}.", label.escape_ascii())?;
            at += 1 + label.len();
        }
        if at == 0 { f.write_str(".") } else { Ok(()) }
    }
}

/// Length of the name in wire form and its labels; writes down where the first of them are.
#[inline(always)]
fn measure(packet: &[u8], start: usize, starts: &mut [u8; KEPT_STARTS]) -> Result<(usize, u8), BadName> {
    let mut at = start;
    let mut labels = 0u8;
    loop {
        let Some(&octet) = packet.get(at) else { return Err(BadName::CutShort) };
        if octet == 0 {
            break;
        }
        if octet > 63 {
            return Err(BadName::LabelType);
        }
        if let Some(kept) = starts.get_mut(usize::from(labels)) {
            *kept = to_u8(at - start);
        }
        at += 1 + usize::from(octet);
        // 254 octets of labels and the root make 255.
        if at - start >= MAX_NAME {
            return Err(BadName::TooLong);
        }
        labels += 1;
    }
    Ok((at + 1 - start, labels))
}
