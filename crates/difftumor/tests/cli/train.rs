//! `difftumor train autoencoder` on phantoms: a network of a few thousand weights goes through every part of the training.

use crate::phantom::training::*;
use crate::phantom::*;
use serde_json::Value;
use std::time::Instant;

#[test]
fn a_resumed_training_is_the_uninterrupted_one_to_the_bit() {
    let scene = Scene::new();
    let whole = scene.out("whole");
    scene.succeed(&whole, &[], &[]);
    let (resumed, later) = (scene.out("resumed"), scene.out("later"));
    scene.succeed(&resumed, &["steps=2"], &["--threads", "1"]);
    scene.succeed(&resumed, &["steps=4"], &["--threads", "3", "--resume"]);
    assert_same_training(&whole, &resumed, 4);
    // One step more or less, and one thread.
    for steps in ["steps=1", "steps=3", "steps=4"] {
        let mut command = scene.command(&later, &[steps], &["--resume"]);
        assert!(command.env("RAYON_NUM_THREADS", "1").output().unwrap().status.success());
    }
    assert_eq!(tree(&checkpoint(&whole, 4)), tree(&checkpoint(&later, 4)));
    // A training that has ended has nothing left to do.
    let before = tree(&checkpoint(&whole, 4));
    scene.succeed(&whole, &[], &["--resume"]);
    assert_eq!(before, tree(&checkpoint(&whole, 4)));
}

#[test]
fn every_part_of_the_training_survives_an_interruption() {
    let scene = Scene::new();
    // Codes from the third step on, discriminators from the fourth, a perceptual distance, a rate that changes.
    let set = [
        "crops.side_vox=32",
        "quantise_from_step=3",
        "discriminators.start_step=3",
        "perceptual.kind=random_features",
        "learning_rate.warmup_steps=3",
        "crops.rotated_share=0.5",
    ];
    let with = |steps| [&set[..], &[steps]].concat();
    let (whole, resumed) = (scene.out("whole"), scene.out("resumed"));
    scene.succeed(&whole, &with("steps=5"), &[]);
    for steps in ["steps=1", "steps=2", "steps=3", "steps=4", "steps=5"] {
        scene.succeed(&resumed, &with(steps), &["--resume"]);
    }
    assert_eq!(tree(&checkpoint(&whole, 5)), tree(&checkpoint(&resumed, 5)));
}

#[test]
fn a_killed_training_goes_on_from_its_last_checkpoint() {
    let scene = Scene::new();
    let set = ["steps=12", "output.checkpoint_every=3"];
    let whole = scene.out("whole");
    scene.succeed(&whole, &set, &[]);
    for (threads, at_step) in [("1", 4), ("2", 8)] {
        let killed = scene.out(&format!("killed-{threads}"));
        let mut command = scene.command(&killed, &set, &[]);
        let mut child =
            command.env("RAYON_NUM_THREADS", threads).stderr(std::process::Stdio::null()).spawn().unwrap();
        let records = killed.join("training/metrics.jsonl");
        let is_there = format!("\"step\":{at_step},");
        wait_until("the training", || std::fs::read_to_string(&records).is_ok_and(|t| t.contains(&is_there)));
        child.kill().unwrap(); // SIGKILL
        let status = child.wait().unwrap();
        assert!(!status.success() && !checkpoint(&killed, 12).exists(), "it was not killed in the middle");
        // What a kill while a checkpoint is written leaves behind.
        let torn = killed.join("training/checkpoints/.checkpoint-torn");
        std::fs::create_dir_all(&torn).unwrap();
        std::fs::write(torn.join("model.safetensors"), "half").unwrap();
        let mut command = scene.command(&killed, &set, &["--resume"]);
        assert!(command.env("RAYON_NUM_THREADS", threads).output().unwrap().status.success());
        assert_same_training(&whole, &killed, 12);
        let left: Vec<_> = std::fs::read_dir(killed.join("training/checkpoints"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

#[test]
fn the_reconstruction_loss_falls_to_less_than_half() {
    let scene = Scene::new();
    let out = scene.out("run");
    let set = [
        "steps=80",
        "learning_rate.rate=0.003",
        "discriminators.start_step=40",
        "crops.scans=3",
        "output.validate_every=80",
    ];
    let start = Instant::now();
    scene.succeed(&out, &set, &[]);
    let losses: Vec<f64> =
        metrics(&out).iter().filter_map(|line| line.get("reconstruction")?.as_f64()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[75..]));
    println!(
        "reconstruction: {first:.3} in steps 1 to 5, {last:.3} in steps 76 to 80, {:.1?}",
        start.elapsed()
    );
    assert_eq!(losses.len(), 80);
    assert!(last < 0.5 * first, "{first} {last}");
}

#[test]
fn records_can_be_read_by_others() {
    let scene = Scene::new();
    let out = scene.out("run");
    let stderr = scene.succeed(&out, &[], &["--licence", "CC0"]);
    assert!(stderr.contains("step 4 of 4") && stderr.contains("left"), "{stderr}");
    let lines = metrics(&out);
    let with_loss: Vec<u64> =
        lines.iter().filter(|l| l.contains_key("loss")).map(|l| l["step"].as_u64().unwrap()).collect();
    assert_eq!(with_loss, [1, 2, 3, 4]);
    let validated: Vec<u64> = lines
        .iter()
        .filter(|l| l.contains_key("validation_psnr_db"))
        .map(|l| l["step"].as_u64().unwrap())
        .collect();
    assert_eq!(validated, [2, 4]);
    for name in ["reconstruction", "commitment", "feature_matching", "discriminator_volume", "learning_rate"]
    {
        assert!(lines.iter().any(|l| l.get(name).is_some_and(Value::is_f64)), "{name}");
    }

    let events = std::fs::read_dir(out.join("training")).unwrap().map(|e| e.unwrap().path());
    let events: Vec<_> = events.filter(|p| text(p).contains("events.out.tfevents")).collect();
    assert_eq!(events.len(), 1);
    let records = event_records(&std::fs::read(&events[0]).unwrap());
    let count = |what: &[u8]| records.iter().filter(|r| r.windows(what.len()).any(|w| w == what)).count();
    assert_eq!(count(b"brain.Event:2"), 1);
    assert_eq!((count(b"\nreconstruction") == 0, count(b"validation_psnr_db")), (true, 2));
    // Tags have their length before them: 14 letters, four steps and two pictures of this name.
    assert_eq!(count(b"\x0a\x0ereconstruction"), 4 + 2);
    assert_eq!(count(b"\x89PNG"), 2);

    for step in [2, 4] {
        let path = out.join(format!("training/samples/{step:09}-reconstruction.png"));
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert!(info.width > 3 * 2 * 16 && info.height > 6 * 2 * 16, "{info:?}");
    }

    let run = difftumor::run::Run::open(&out).unwrap();
    let training = run.manifest().training.clone().unwrap();
    assert_eq!((training.step, training.averaged, run.manifest().licence.as_str()), (4, true, "CC0"));
    let psnr = lines.iter().rev().find_map(|l| l.get("validation_psnr_db")?.as_f64());
    assert_eq!(training.validation.map(|v| v.1), psnr);
    run.load_tensors().unwrap();
    let config = std::fs::read_to_string(out.join("training/config.toml")).unwrap();
    assert!(config.contains("side_vox = 16") && config.contains("decay = 0.99"), "{config}");
}

/// The records of a TensorBoard file, with their check sums checked.
fn event_records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let masked = |data: &[u8]| crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut records = vec![];
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes[8..12], masked(&bytes[..8]));
        let data = &bytes[12..12 + length];
        assert_eq!(bytes[12 + length..][..4], masked(data));
        records.push(data.to_vec());
        bytes = &bytes[16 + length..];
    }
    records
}
