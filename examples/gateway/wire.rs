//! The venue's protocol: an order goes out, an answer comes back, each a frame of a big-endian `u16`
//! length and a body. The first byte of a body is its kind, so a stranger on the port is soon found out.

use std::io::{self, Read, Write};

const MAX_BODY: usize = 64;
const ORDER: u8 = b'O';
const ANSWER: u8 = b'A';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: u64,
    /// In ticks; negative to sell.
    pub(crate) price: i32,
    pub(crate) quantity: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Filled,
    /// A business answer: the venue is well and does not want this order.
    Declined,
    /// The venue cannot serve this order right now.
    Unavailable,
    /// The order was filled when it came for the first time, and is not filled again.
    FilledBefore,
    /// The client sent more than it is allowed, and is not served for a while.
    Banned,
}

pub(crate) fn write_order(to: &mut impl Write, order: &Order) -> io::Result<()> {
    let mut body = [ORDER; 17];
    body[1..9].copy_from_slice(&order.id.to_be_bytes());
    body[9..13].copy_from_slice(&order.price.to_be_bytes());
    body[13..17].copy_from_slice(&order.quantity.to_be_bytes());
    write_frame(to, &body)
}

pub(crate) fn read_order(from: &mut impl Read) -> io::Result<Order> {
    let mut buffer = [0; MAX_BODY];
    match read_frame(from, &mut buffer)? {
        [ORDER, body @ ..] if body.len() == 16 => Ok(Order {
            id: u64_at(body, 0),
            price: u32_at(body, 8).cast_signed(),
            quantity: u32_at(body, 12),
        }),
        _ => Err(stranger("an order")),
    }
}

pub(crate) fn write_answer(to: &mut impl Write, id: u64, verdict: Verdict) -> io::Result<()> {
    let mut body = [ANSWER; 10];
    body[1..9].copy_from_slice(&id.to_be_bytes());
    body[9] = match verdict {
        Verdict::Filled => 0,
        Verdict::Declined => 1,
        Verdict::Unavailable => 2,
        Verdict::FilledBefore => 3,
        Verdict::Banned => 4,
    };
    write_frame(to, &body)
}

/// Reads the answer to order `id`; any other answer is an error, because the connection is out of step.
pub(crate) fn read_answer(from: &mut impl Read, id: u64) -> io::Result<Verdict> {
    let mut buffer = [0; MAX_BODY];
    match read_frame(from, &mut buffer)? {
        [ANSWER, body @ ..] if body.len() == 9 && u64_at(body, 0) == id => match body[8] {
            0 => Ok(Verdict::Filled),
            1 => Ok(Verdict::Declined),
            2 => Ok(Verdict::Unavailable),
            3 => Ok(Verdict::FilledBefore),
            4 => Ok(Verdict::Banned),
            _ => Err(stranger("a verdict")),
        },
        _ => Err(stranger("the answer to the order sent")),
    }
}

/// One write per frame: with `TCP_NODELAY`, two would be two packets.
fn write_frame(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let mut frame = [0; MAX_BODY + 2];
    let end = body.len() + 2;
    frame[..2].copy_from_slice(&(body.len() as u16).to_be_bytes());
    frame[2..end].copy_from_slice(body);
    to.write_all(&frame[..end])
}

fn read_frame<'b>(from: &mut impl Read, buffer: &'b mut [u8; MAX_BODY]) -> io::Result<&'b [u8]> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    let body = buffer.get_mut(..length).ok_or_else(|| stranger("a frame of at most 64 bytes"))?;
    from.read_exact(body)?;
    Ok(body)
}

fn u64_at(body: &[u8], at: usize) -> u64 {
    body[at..at + 8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn u32_at(body: &[u8], at: usize) -> u32 {
    body[at..at + 4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn stranger(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {expected}"))
}
