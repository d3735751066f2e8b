//! A line to the venue, and what can go wrong on it.

use std::io::{self, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fusewire::Retryable;

use crate::wire::{self, Order, Verdict};

/// An answer from a venue that is well, be it a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Filled,
    /// Filled by an earlier attempt, which seemed to have failed.
    FilledBefore,
    Declined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unreachable,
    TimedOut,
    Broken,
    Unavailable,
    /// More orders were sent than the venue allows.
    Banned,
}

/// An order has an id, and the venue fills no id twice: so it may be sent again also when nobody knows
/// what became of it.
impl Retryable for Fault {
    fn is_retryable(&self) -> bool {
        // A ban outlasts every order's patience.
        *self != Self::Banned
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Unreachable,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Broken,
        }
    }
}

/// Connects when needed, and hangs up after any failure, because a late answer would be taken for that of
/// the next order.
#[derive(Debug)]
pub(crate) struct Line {
    address: SocketAddr,
    orders: bool,
    kept: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: BufReader<TcpStream>,
    /// What its reads and writes wait for the other side.
    patience: Duration,
}

impl Line {
    pub(crate) fn to(address: SocketAddr, orders: bool) -> Self {
        Self { address, orders, kept: None }
    }

    pub(crate) fn send(&mut self, order: &Order, patience: Duration) -> Result<Answer, Fault> {
        match self.exchange(order, patience)? {
            Verdict::Filled => Ok(Answer::Filled),
            Verdict::FilledBefore => Ok(Answer::FilledBefore),
            Verdict::Declined => Ok(Answer::Declined),
            Verdict::Unavailable => Err(Fault::Unavailable),
            Verdict::Banned => Err(Fault::Banned),
        }
    }

    pub(crate) fn exchange(&mut self, order: &Order, patience: Duration) -> io::Result<Verdict> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection.waiting(patience)?,
            None => self.connect(patience)?,
        };
        if !self.orders {
            return Ok(Verdict::Filled);
        }
        wire::write_order(connection.stream.get_mut(), order)?;
        let verdict = wire::read_answer(&mut connection.stream, order.id)?;
        self.kept = Some(connection);
        Ok(verdict)
    }

    fn connect(&self, patience: Duration) -> io::Result<Connection> {
        let began = Instant::now();
        let stream = TcpStream::connect_timeout(&self.address, patience)?;
        // A client that is given the dead venue's own port is connected to itself.
        if stream.local_addr()? == self.address {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        let left = patience.saturating_sub(began.elapsed());
        Connection { stream: BufReader::new(stream), patience: Duration::MAX }.waiting(left)
    }
}

impl Connection {
    fn waiting(mut self, patience: Duration) -> io::Result<Self> {
        if self.patience != patience {
            // Zero would be for ever.
            let limit = Some(patience.max(Duration::from_micros(1)));
            self.stream.get_ref().set_read_timeout(limit)?;
            self.stream.get_ref().set_write_timeout(limit)?;
            self.patience = patience;
        }
        Ok(self)
    }
}
