//! The pcapng file format, as far as a capture needs it: draft-ietf-opsawg-pcapng, sections 4.1 to
//! 4.3. Little-endian on every host.

use std::{collections::HashMap, io, sync::Arc};

use meshlab_model::NodeId;

use super::Record;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// Packets start with their IP header, of either version.
const LINKTYPE_RAW: u16 = 101;

const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
/// Stamps count in 10^-9 seconds.
const NANOSECONDS: u8 = 9;
/// Directions as the interface sees them: in to the node, out of it.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Writes one section. An interface is described right before its first packet, because nodes come
/// while a capture runs.
pub(super) struct Writer<W> {
    out: W,
    interfaces: HashMap<Arc<NodeId>, u32>,
    /// Bytes written.
    pub(super) bytes: u64,
    block: Vec<u8>,
}

impl<W: io::Write> Writer<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut writer =
            Self { out, interfaces: HashMap::new(), bytes: 0, block: Vec::with_capacity(2048) };
        writer.block.extend(0x1a2b_3c4d_u32.to_le_bytes());
        writer.block.extend(1_u16.to_le_bytes());
        writer.block.extend(0_u16.to_le_bytes());
        // The section's length is not known.
        writer.block.extend((-1_i64).to_le_bytes());
        writer.option(USER_APPLICATION, b"meshlab");
        writer.end_options();
        writer.end(SECTION)?;
        Ok(writer)
    }

    pub(super) fn packet(&mut self, record: &Record) -> io::Result<()> {
        let interface = self.interface(&record.node)?;
        let length = u32::try_from(record.packet.len()).unwrap_or(u32::MAX);
        let (high, low) = ((record.at >> 32) as u32, record.at as u32);
        for number in [interface, high, low, length, length] {
            self.block.extend(number.to_le_bytes());
        }
        self.block.extend(&record.packet);
        self.pad();
        self.option(COMMENT, record.comment.as_bytes());
        let flags = if record.outbound { OUTBOUND } else { INBOUND };
        self.option(PACKET_FLAGS, &flags.to_le_bytes());
        self.end_options();
        self.end(ENHANCED_PACKET)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn interface(&mut self, node: &Arc<NodeId>) -> io::Result<u32> {
        if let Some(known) = self.interfaces.get(node) {
            return Ok(*known);
        }
        self.block.extend(LINKTYPE_RAW.to_le_bytes());
        self.block.extend(0_u16.to_le_bytes());
        // No packet is cut short.
        self.block.extend(0_u32.to_le_bytes());
        self.option(INTERFACE_NAME, node.as_str().as_bytes());
        self.option(TIME_RESOLUTION, &[NANOSECONDS]);
        self.end_options();
        self.end(INTERFACE)?;
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(Arc::clone(node), number);
        Ok(number)
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        // A length has 16 bits; nothing that is written here comes near.
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.block.extend(code.to_le_bytes());
        self.block.extend(length.to_le_bytes());
        self.block.extend(value);
        self.pad();
    }

    fn end_options(&mut self) {
        self.block.extend([0; 4]);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Writes the block that was put together: its kind, its length, itself, its length again.
    fn end(&mut self, kind: u32) -> io::Result<()> {
        let length = u32::try_from(self.block.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(&self.block)?;
        self.out.write_all(&length)?;
        self.bytes += self.block.len() as u64 + 12;
        self.block.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod read {
    //! Reads a capture back, by the format and not by the writer.

    use std::collections::BTreeMap;

    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct Packet {
        pub(crate) node: String,
        pub(crate) at: u64,
        pub(crate) bytes: Vec<u8>,
        pub(crate) comment: String,
        pub(crate) outbound: bool,
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn options(mut bytes: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        let mut found = BTreeMap::new();
        loop {
            let code = u16::from_le_bytes([bytes[0], bytes[1]]);
            let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
            if code == 0 {
                assert_eq!((length, bytes.len()), (0, 4), "the end is the end");
                return found;
            }
            found.insert(code, bytes[4..4 + length].to_vec());
            bytes = &bytes[4 + length.next_multiple_of(4)..];
        }
    }

    /// Every packet of a file of one section.
    pub(crate) fn packets(mut file: &[u8]) -> Vec<Packet> {
        let (mut names, mut packets) = (Vec::new(), Vec::new());
        let mut first = true;
        while !file.is_empty() {
            let length = u32_at(file, 4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(u32_at(file, length - 4) as usize, length, "both lengths agree");
            let body = &file[8..length - 4];
            match u32_at(file, 0) {
                0x0a0d_0d0a => {
                    assert!(first && u32_at(body, 0) == 0x1a2b_3c4d);
                    assert_eq!(body[8..16], [0xff; 8]);
                    assert_eq!(options(&body[16..])[&4], b"meshlab");
                }
                1 => {
                    assert_eq!(body[..2], [101, 0], "LINKTYPE_RAW");
                    let options = options(&body[8..]);
                    assert_eq!(options[&9], [9], "nanoseconds");
                    names.push(String::from_utf8(options[&2].clone()).unwrap());
                }
                6 => {
                    let captured = u32_at(body, 12) as usize;
                    assert_eq!(captured, u32_at(body, 16) as usize);
                    let options = options(&body[20 + captured.next_multiple_of(4)..]);
                    packets.push(Packet {
                        node: names[u32_at(body, 0) as usize].clone(),
                        at: (u64::from(u32_at(body, 4)) << 32) + u64::from(u32_at(body, 8)),
                        bytes: body[20..20 + captured].to_vec(),
                        comment: String::from_utf8(options[&1].clone()).unwrap(),
                        outbound: options[&2] == [2, 0, 0, 0],
                    });
                }
                other => panic!("a block of kind {other}"),
            }
            first = false;
            file = &file[length..];
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let [a, b] = ["node-1", "b"].map(|name| Arc::new(NodeId::from(name)));
        let record = |node: &Arc<NodeId>, at, bytes: usize, comment: &str, outbound| Record {
            at,
            node: Arc::clone(node),
            peer: None,
            packet: vec![7; bytes],
            comment: comment.to_owned(),
            outbound,
        };
        let records = [
            record(&a, 1_763_718_000_123_456_789, 29, "to b: delayed 100 ms", true),
            record(&b, 1_763_718_000_223_456_789, 29, "from node-1: arrived", false),
            record(&a, 1_763_718_001_000_000_000, 1500, "", true),
            record(&a, 0, 0, "to b: dropped: loss", true),
        ];
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).unwrap();
        for record in &records {
            writer.packet(record).unwrap();
        }
        let bytes = writer.bytes;
        assert_eq!(bytes, file.len() as u64);
        let expected = records.map(|record| read::Packet {
            node: record.node.to_string(),
            at: record.at,
            bytes: record.packet,
            comment: record.comment,
            outbound: record.outbound,
        });
        assert_eq!(read::packets(&file), expected);
    }
}
