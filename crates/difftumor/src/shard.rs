//! One part of a batch, for many machines that share it without talking to each other: each takes the items whose position
//! modulo the number of parts is its own.
use crate::error::{Error, Result};
use std::str::FromStr;

/// A part of all items: those whose position modulo `of` is `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

/// What a scheduler puts into the environment of each task of an array.
struct Scheduler {
    name: &'static str,
    index: &'static str,
    /// Of the first task; 0 where it is not said.
    first: Option<&'static str>,
    /// The number of tasks, or the last task's index.
    end: Option<End>,
    /// Between two tasks; 1 where it is not said.
    step: Option<&'static str>,
}

enum End {
    Count(&'static str),
    Last(&'static str),
}

/// The first whose index is there is taken.
const SCHEDULERS: [Scheduler; 7] = [
    Scheduler {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: Some("SLURM_ARRAY_TASK_MIN"),
        end: Some(End::Count("SLURM_ARRAY_TASK_COUNT")),
        step: Some("SLURM_ARRAY_TASK_STEP"),
    },
    // Indexed jobs count from 0; their number is in the manifest alone.
    Scheduler { name: "Kubernetes", index: "JOB_COMPLETION_INDEX", first: None, end: None, step: None },
    Scheduler {
        name: "Google Batch",
        index: "BATCH_TASK_INDEX",
        first: None,
        end: Some(End::Count("BATCH_TASK_COUNT")),
        step: None,
    },
    Scheduler {
        name: "Cloud Run",
        index: "CLOUD_RUN_TASK_INDEX",
        first: None,
        end: Some(End::Count("CLOUD_RUN_TASK_COUNT")),
        step: None,
    },
    Scheduler { name: "AWS Batch", index: "AWS_BATCH_JOB_ARRAY_INDEX", first: None, end: None, step: None },
    Scheduler {
        name: "Grid Engine",
        index: "SGE_TASK_ID",
        first: Some("SGE_TASK_FIRST"),
        end: Some(End::Last("SGE_TASK_LAST")),
        step: Some("SGE_TASK_STEPSIZE"),
    },
    Scheduler { name: "PBS", index: "PBS_ARRAY_INDEX", first: None, end: None, step: None },
];

/// How a part is asked for.
const EXPECTED: &str = "I/N with I from 0 to N - 1 (as in 0/2 and 1/2), auto, or auto/N";

impl Shard {
    /// `I/N`; or `auto`, from what a scheduler has put into the environment, of which `variable` reads one; or `auto/N` where the
    /// scheduler does not say how many tasks there are (Kubernetes, AWS Batch, PBS).
    ///
    /// # Errors
    /// When the text is none of these, there is no such variable, or one is no number or beyond the number of tasks.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let number = |what: &str| what.parse::<usize>().ok();
        let shard = match text.split_once('/') {
            None if text == "auto" => return Self::from_scheduler(None, variable),
            Some(("auto", of)) => match number(of) {
                Some(of) => return Self::from_scheduler(Some(of), variable),
                None => None,
            },
            Some((index, of)) => number(index).zip(number(of)).map(|(index, of)| Self { index, of }),
            None => None,
        };
        shard.filter(|s| s.index < s.of).ok_or_else(|| argument("shard", EXPECTED, text))
    }

    fn from_scheduler(of: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| -> Result<Option<usize>> {
            // Grid Engine writes `undefined` where there is no array.
            let Some(text) = variable(name).filter(|text| text != "undefined" && !text.is_empty()) else {
                return Ok(None);
            };
            text.parse()
                .map(Some)
                .map_err(|_| argument(&format!("the variable {name}"), "a whole number", &text))
        };
        for scheduler in &SCHEDULERS {
            let Some(task) = read(scheduler.index)? else { continue };
            let or = |name: Option<&str>, otherwise| -> Result<usize> {
                Ok(name.map(read).transpose()?.flatten().unwrap_or(otherwise))
            };
            let (first, step) = (or(scheduler.first, 0)?, or(scheduler.step, 1)?.max(1));
            let said = match &scheduler.end {
                Some(End::Count(name)) => read(name)?,
                Some(End::Last(name)) => read(name)?.map(|last| last.saturating_sub(first) / step + 1),
                None => None,
            };
            let Some(of) = of.or(said) else {
                let expected =
                    format!("auto/N, for {} does not say how many tasks there are", scheduler.name);
                return Err(argument("shard", &expected, "auto"));
            };
            let index = task.checked_sub(first).map(|past| past / step);
            return index.filter(|index| *index < of).map(|index| Self { index, of }).ok_or_else(|| {
                let expected = format!("a number of the {of} tasks from {first} on");
                argument(&format!("the variable {}", scheduler.index), &expected, &task.to_string())
            });
        }
        let names: Vec<&str> = SCHEDULERS.iter().map(|s| s.index).collect();
        Err(argument("shard by the scheduler", &format!("one of the variables {}", names.join(", ")), "none"))
    }

    /// Whether the item at a position belongs to this part.
    pub fn has(&self, position: usize) -> bool {
        position % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// [`Shard::parse`] with this process' environment.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, |name| std::env::var(name).ok())
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

fn argument(what: &str, expected: &str, found: &str) -> Error {
    difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found: found.into() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_string());
        Shard::parse(text, variable).map(|s| s.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn parts_are_disjoint_and_together_all() {
        let shards: Vec<Shard> = (0..3).map(|i| format!("{i}/3").parse().unwrap()).collect();
        for position in 0..10 {
            assert_eq!(shards.iter().filter(|s| s.has(position)).count(), 1);
        }
        for bad in ["", "3/3", "1", "-1/2", "a/b", "1/0", "auto/x", "auto/"] {
            assert!(shard(bad, &[]).unwrap_err().contains("I/N"), "{bad}");
        }
    }

    #[test]
    fn schedulers_say_which_part() {
        for (text, variables, expected) in [
            (
                "auto",
                vec![
                    ("SLURM_ARRAY_TASK_ID", "7"),
                    ("SLURM_ARRAY_TASK_MIN", "1"),
                    ("SLURM_ARRAY_TASK_COUNT", "10"),
                ],
                "6/10",
            ),
            (
                "auto",
                vec![
                    ("SLURM_ARRAY_TASK_ID", "15"),
                    ("SLURM_ARRAY_TASK_MIN", "5"),
                    ("SLURM_ARRAY_TASK_STEP", "5"),
                    ("SLURM_ARRAY_TASK_COUNT", "4"),
                ],
                "2/4",
            ),
            ("auto/8", vec![("JOB_COMPLETION_INDEX", "0")], "0/8"),
            ("auto", vec![("BATCH_TASK_INDEX", "3"), ("BATCH_TASK_COUNT", "4")], "3/4"),
            ("auto", vec![("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_TASK_COUNT", "1")], "0/1"),
            ("auto/5", vec![("AWS_BATCH_JOB_ARRAY_INDEX", "4")], "4/5"),
            (
                "auto",
                vec![
                    ("SGE_TASK_ID", "3"),
                    ("SGE_TASK_FIRST", "1"),
                    ("SGE_TASK_LAST", "9"),
                    ("SGE_TASK_STEPSIZE", "2"),
                ],
                "1/5",
            ),
            ("auto/2", vec![("SGE_TASK_ID", "undefined"), ("PBS_ARRAY_INDEX", "1")], "1/2"),
        ] {
            assert_eq!(shard(text, &variables).as_deref(), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn what_a_scheduler_does_not_say_is_told() {
        for (text, variables, says) in [
            ("auto", vec![], "expected one of the variables SLURM_ARRAY_TASK_ID"),
            ("auto", vec![("JOB_COMPLETION_INDEX", "2")], "auto/N, for Kubernetes"),
            (
                "auto/2",
                vec![("JOB_COMPLETION_INDEX", "2")],
                "JOB_COMPLETION_INDEX: expected a number of the 2 tasks",
            ),
            ("auto/2", vec![("JOB_COMPLETION_INDEX", "two")], "a whole number"),
            (
                "auto",
                vec![
                    ("SLURM_ARRAY_TASK_ID", "0"),
                    ("SLURM_ARRAY_TASK_MIN", "1"),
                    ("SLURM_ARRAY_TASK_COUNT", "3"),
                ],
                "from 1 on",
            ),
        ] {
            let error = shard(text, &variables).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
