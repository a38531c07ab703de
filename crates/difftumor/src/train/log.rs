//! What is written down while a training runs: metrics as JSON lines and for TensorBoard, pictures, and the time left.
use super::events;
use crate::error::{Error, Result};
use difftumor_ct::io::write_atomically;
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a training stands.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Steps made.
    pub step: u64,
    /// Steps that it will have made at its end.
    pub steps: u64,
    /// Time until then, at the pace since this start.
    pub left: Duration,
    /// The latest metrics.
    pub metrics: Vec<(&'static str, f64)>,
}

/// Means of metrics over the steps between two records.
#[derive(Debug, Default)]
pub struct Means {
    /// Name, sum and number, in the order in which they came first.
    sums: Vec<(&'static str, f64, f64)>,
}

impl Means {
    /// Adds the metrics of a step.
    pub fn add(&mut self, metrics: &[(&'static str, f64)]) {
        for (name, value) in metrics {
            match self.sums.iter_mut().find(|(known, ..)| known == name) {
                Some((_, sum, n)) => (*sum, *n) = (*sum + value, *n + 1.0),
                None => self.sums.push((name, *value, 1.0)),
            }
        }
    }

    /// The means, to begin anew.
    pub fn take(&mut self) -> Vec<(&'static str, f64)> {
        self.sums.drain(..).map(|(name, sum, n)| (name, sum / n)).collect()
    }
}

/// How fast steps are made, and how long they wait for batches. What lies between steps (validations, checkpoints, during which
/// batches are made ahead) does not count, nor does the first batch, which nothing can have made ahead.
#[derive(Debug, Default)]
pub struct Pace {
    begun: bool,
    steps: u64,
    waited: Duration,
    worked: Duration,
}

impl Pace {
    /// Takes a batch.
    pub fn wait<T>(&mut self, take: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let batch = take();
        if std::mem::replace(&mut self.begun, true) {
            self.waited += start.elapsed();
        }
        batch
    }

    /// Makes a step.
    pub fn step<T>(&mut self, make: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let made = make();
        self.worked += start.elapsed();
        self.steps += 1;
        made
    }

    /// Seconds for each step since the last call, and the share of that time in which the model waited for batches.
    pub fn take(&mut self) -> [(&'static str, f64); 2] {
        let seconds = (self.waited + self.worked).as_secs_f64();
        let share = self.waited.as_secs_f64() / seconds.max(1e-9);
        let each = seconds / self.steps.max(1) as f64;
        *self = Self { begun: self.begun, ..Self::default() };
        [("step_s", each), ("waited_share", share)]
    }
}

/// The records of a training.
pub struct Log {
    dir: PathBuf,
    metrics: File,
    events: File,
    steps: u64,
    first: u64,
    started: Instant,
}

impl Log {
    /// Opens the records in `dir` for a training that has made `step` of `steps` steps. Whatever was written of later
    /// ones, before an interruption, is taken out.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(dir: &Path, step: u64, steps: u64) -> Result<Self> {
        let path = dir.join("metrics.jsonl");
        let kept = match fs::read_to_string(&path) {
            Ok(text) => upto(&text, step),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io(&path, "read")(e)),
        };
        write_atomically(&path, |file| file.write_all(kept.as_bytes()))?;
        let metrics = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path, "write"))?;
        // One file for each start: TensorBoard reads all of a folder.
        let path = dir.join(format!("events.out.tfevents.{:.0}.difftumor.{step}", now_s()));
        let mut events = File::create(&path).map_err(Error::io(&path, "create"))?;
        events.write_all(&events::version(now_s())).map_err(Error::io(&path, "write"))?;
        Ok(Self { dir: dir.into(), metrics, events, steps, first: step, started: Instant::now() })
    }

    /// Writes the metrics of `step`, whole and at once.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn record(&mut self, step: u64, metrics: &[(&'static str, f64)]) -> Result<Progress> {
        let mut line = Map::from_iter([("step".to_string(), Value::from(step))]);
        line.extend(metrics.iter().map(|(name, value)| (name.to_string(), Value::from(*value))));
        let text = format!("{}\n", Value::Object(line));
        self.metrics
            .write_all(text.as_bytes())
            .map_err(Error::io(self.dir.join("metrics.jsonl"), "write"))?;
        let events: Vec<u8> = metrics
            .iter()
            .flat_map(|(name, value)| events::scalar(now_s(), step, name, *value as f32))
            .collect();
        self.events.write_all(&events).map_err(Error::io(&self.dir, "write TensorBoard's events in"))?;
        let made = step.saturating_sub(self.first).max(1) as f64;
        let left = self.started.elapsed().mul_f64(self.steps.saturating_sub(step) as f64 / made);
        Ok(Progress { step, steps: self.steps, left, metrics: metrics.to_vec() })
    }

    /// Writes a picture to `samples/` and to TensorBoard.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn picture(&mut self, step: u64, name: &str, size: [usize; 2], png: &[u8]) -> Result<()> {
        let dir = self.dir.join("samples");
        fs::create_dir_all(&dir).map_err(Error::io(&dir, "create"))?;
        write_atomically(&dir.join(format!("{step:09}-{name}.png")), |file| file.write_all(png))?;
        let event = events::picture(now_s(), step, name, size, png);
        self.events.write_all(&event).map_err(Error::io(&self.dir, "write TensorBoard's events in"))
    }
}

/// The whole lines of steps up to `step`.
fn upto(text: &str, step: u64) -> String {
    let known = |line: &&str| {
        let line: Option<Value> = serde_json::from_str(line).ok();
        line.and_then(|v| v["step"].as_u64()).is_some_and(|s| s <= step)
    };
    text.lines().filter(known).flat_map(|line| [line, "\n"]).collect()
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_the_steps_that_had_the_metric() {
        let mut means = Means::default();
        means.add(&[("a", 1.0)]);
        means.add(&[("a", 2.0), ("b", 5.0)]);
        assert_eq!(means.take(), [("a", 1.5), ("b", 5.0)]);
        assert_eq!(means.take(), []);
    }

    #[test]
    fn the_first_batch_and_what_lies_between_steps_do_not_count() {
        let mut pace = Pace::default();
        let of = |pace: &mut Pace| pace.take().map(|(_, value)| value);
        pace.wait(|| std::thread::sleep(Duration::from_millis(20)));
        assert_eq!(pace.step(|| 3), 3);
        assert_eq!(of(&mut pace)[1], 0.0);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(of(&mut pace), [0.0, 0.0]);
        pace.wait(|| std::thread::sleep(Duration::from_millis(20)));
        let [step_s, share] = of(&mut pace);
        assert!(step_s >= 0.02 && share == 1.0, "{step_s} {share}");
    }

    #[test]
    fn lines_after_the_checkpoint_and_torn_ones_are_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0, 10).unwrap();
        for step in 1..=4 {
            let progress = log.record(step, &[("loss", 0.5 / step as f64)]).unwrap();
            assert_eq!((progress.step, progress.steps), (step, 10));
        }
        let path = dir.path().join("metrics.jsonl");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\":2,\"lo").unwrap();
        let mut log = Log::open(dir.path(), 2, 10).unwrap();
        log.record(3, &[("loss", f64::NAN)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // The order of keys depends on features of serde_json that other crates may ask for.
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = |step: u64, loss: Value| serde_json::json!({ "step": step, "loss": loss });
        assert_eq!(lines, [line(1, 0.5.into()), line(2, 0.25.into()), line(3, Value::Null)]);
        assert!(text.ends_with('\n'));
        log.picture(3, "x", [1, 1], b"png").unwrap();
        assert_eq!(fs::read(dir.path().join("samples/000000003-x.png")).unwrap(), b"png");
    }
}
