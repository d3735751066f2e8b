//! Where a run took place.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

/// What a published number must name: the processor, the cores, the system, and how busy it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor, as it names itself.
    pub processor: String,
    /// Hardware threads that this process may use.
    pub threads: usize,
    /// Operating system and instruction set.
    pub system: String,
    /// The load averages when it was asked: above the number of idle cores, expect a wide spread.
    pub load: Option<String>,
}

impl Machine {
    /// Describes the machine that runs this.
    pub fn here() -> Self {
        Self {
            processor: processor().unwrap_or_else(|| "unknown processor".to_owned()),
            threads: available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            load: load(),
        }
    }
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("model name")?;
    // Virtual machines tend to hide the model's number; family and model still tell the generation.
    Some(match (field("cpu family"), field("model")) {
        (Some(family), Some(number)) => format!("{model} (family {family}, model {number})"),
        _ => model,
    })
}

fn load() -> Option<String> {
    let averages = fs::read_to_string("/proc/loadavg").ok()?;
    Some(averages.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} hardware threads, {}", self.processor, self.threads, self.system)?;
        match &self.load {
            Some(load) => write!(f, ", load {load}"),
            None => Ok(()),
        }
    }
}
