//! Checkpoint files of every known form load with the right values; awkward and hostile ones neither run nor crash
//! anything.
use difftumor::checkpoint::{self, Checkpoint, Value};
use std::path::{Path, PathBuf};

use crate::common::rule::rule_value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

fn open(name: &str) -> Checkpoint {
    checkpoint::read(fixture(name)).unwrap()
}

fn load(checkpoint: &Checkpoint, section: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = &checkpoint.section(section)[name];
    (tensor.shape.clone(), checkpoint.load_f32(name, tensor).unwrap())
}

/// Writes bytes to a file of its own and opens it.
fn read_bytes(bytes: &[u8]) -> difftumor::error::Result<Checkpoint> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let checkpoint = checkpoint::read(file.path())?;
    // loading everything while the file is there finds what opening does not
    for section in checkpoint.section_names() {
        for (name, tensor) in checkpoint.section(section) {
            checkpoint.load_f32(&name, &tensor)?;
        }
    }
    Ok(checkpoint)
}

fn error_of(bytes: &[u8]) -> String {
    read_bytes(bytes).unwrap_err().to_string()
}

/// A zip checkpoint around a pickle, with one storage "0" of `storage` bytes.
fn archive(pickle: &[u8], storage: usize) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &vec![0; storage])] {
        writer.start_file(name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The pickle of `{"t": tensor}` with sizes as given.
fn tensor_pickle(elements: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let long = |v: i64| [&[0x8a, 8], &v.to_le_bytes()[..]].concat();
    let tuple = |v: &[i64]| [&b"("[..], &v.iter().flat_map(|&v| long(v)).collect::<Vec<_>>(), b"t"].concat();
    [
        b"\x80\x02}\x8c\x01tctorch._utils\n_rebuild_tensor_v2\n((\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x06cuda:0",
        &long(elements)[..],
        b"tQ",
        &long(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89}tRs.",
    ]
    .concat()
}

/// The state dict of the `hard_*` files: the first tensors of the segmentation U-Net, by the weight rule.
fn assert_rule(checkpoint: &Checkpoint, tolerance: f32) {
    let section = checkpoint.section("state_dict");
    assert_eq!(section.len(), 9);
    for (name, tensor) in section {
        let want = rule_value(&name, &tensor.shape).unwrap();
        let found = checkpoint.load_f32(&name, &tensor).unwrap();
        assert_eq!(want.len(), found.len());
        for (want, found) in want.iter().zip(&found) {
            assert!(
                (want - found).abs() <= tolerance * want.abs().max(1e-4),
                "{name}: {want} against {found}"
            );
        }
    }
}

#[test]
fn awkward_files_hold_the_rule_weights() {
    for name in ["hard_collections.pt", "hard_slots.pt", "hard_omegaconf.ckpt", "hard_views.pt"] {
        assert_rule(&open(name), 0.0); // f32 is stored as it is
    }
    // f16 rounds to 11 bits: half a unit is 2^-11 of the value; 1e-4 is the smallest normal value's scale
    assert_rule(&open("hard_f16.pt"), 1.0 / 2048.0);
}

#[test]
fn a_payload_is_recorded_and_not_run() {
    let checkpoint = open("hard_payload.pt");
    assert_rule(&checkpoint, 0.0);
    assert!(!Path::new("pwned").exists() && !fixture("pwned").exists());
    let tree = checkpoint.tree();
    assert!(tree.foreign_classes().contains("io.open"));
    let Some(Value::Object(object)) = tree.find(&["evil"]) else { panic!("the payload is an inert object") };
    let Value::Tuple(args) = tree.get(object.args) else { panic!() };
    assert_eq!(*tree.get(args[0]), Value::Str("pwned".into()));
}

#[test]
fn collections_and_foreign_objects_are_data() {
    let checkpoint = open("hard_collections.pt");
    let tree = checkpoint.tree();
    assert!(
        matches!(tree.find(&["seen", "a"]), Some(Value::List(items)) if *tree.get(items[0]) == Value::Int(1))
    );
    assert!(matches!(tree.find(&["recent"]), Some(Value::List(items)) if items.len() == 2));

    let checkpoint = open("hard_slots.pt");
    let tree = checkpoint.tree();
    let Some(Value::Object(object)) = tree.find(&["obj"]) else { panic!() };
    let Value::Tuple(state) = tree.get(object.state.unwrap()) else { panic!() };
    assert_eq!(*tree.get(state[0]), Value::None);
    let Value::Tensor(tensor) = tree.get(tree.entry(state[1], "tensor").unwrap()) else { panic!() };
    assert_eq!(checkpoint.load_f32("tensor", tensor).unwrap(), [1.0; 3]);

    let checkpoint = open("hard_omegaconf.ckpt");
    assert_eq!(checkpoint.integer("global_step"), Some(80_000));
    assert!(checkpoint.tree().foreign_classes().contains("omegaconf.dictconfig.DictConfig"));
}

#[test]
fn every_container_format_gives_the_same_values() {
    let numbers = |v: &[u8]| v.iter().map(|&v| f32::from(v)).collect::<Vec<_>>();
    let transposed = (0..4).flat_map(|z| (0..6).map(move |xy| (xy * 4 + z) as f32)).collect();
    let want = [
        ("plain", vec![2, 3, 4], (0..24).map(|v| v as f32).collect()),
        ("transposed", vec![4, 2, 3], transposed),
        ("sliced", vec![2, 2, 2], numbers(&[4, 6, 8, 10, 16, 18, 20, 22])),
        ("expanded", vec![3, 2], numbers(&[0, 1, 0, 1, 0, 1])),
        ("scalar", vec![], vec![-1.5]),
        ("empty", vec![0, 3], vec![]),
        ("parameter", vec![3, 4], (12..24).map(|v| v as f32).collect()),
    ];
    let files = [
        "legacy.pt",
        "protocol_2.pt",
        "protocol_3.pt",
        "protocol_4.pt",
        "protocol_5.pt",
        "deflated.pt",
        "zip64.pt",
        "big_endian.pt",
    ];
    for file in files {
        let checkpoint = open(file);
        for (name, shape, values) in &want {
            assert_eq!(
                load(&checkpoint, "state_dict", name),
                (shape.clone(), values.clone()),
                "{file}: {name}"
            );
        }
    }
    assert_eq!(open("legacy.pt").integer("epoch"), Some(3));
    for protocol in 2..=5 {
        let checkpoint = open(&format!("protocol_{protocol}.pt"));
        let tree = checkpoint.tree();
        assert_eq!(tree.find(&["best"]), Some(&Value::Float(0.5)));
        assert_eq!(tree.find(&["bytes"]), Some(&Value::Bytes(vec![0, 255])));
        assert!(matches!(tree.find(&["size"]), Some(Value::Tuple(sides)) if sides.len() == 3));
        assert!(matches!(tree.find(&["set"]), Some(Value::Set(items)) if items.len() == 2));
        assert!(matches!(tree.find(&["long"]), Some(Value::BigInt(bytes)) if bytes.len() == 11));
    }
}

#[test]
fn every_element_type_is_widened() {
    for file in ["dtypes.pt", "dtypes_legacy.pt"] {
        let checkpoint = open(file);
        assert_eq!(checkpoint.section("").len(), 10);
        for name in checkpoint.section("").keys() {
            let want = match name.as_str() {
                "uint8" => [0.0, 1.0, 2.0, 100.0],
                "bool" => [0.0, 1.0, 1.0, 1.0],
                _ => [0.0, 1.0, -2.0, 100.0],
            };
            assert_eq!(load(&checkpoint, "", name).1, want, "{file}: {name}");
        }
    }
}

#[test]
fn safetensors_load_too_and_lying_headers_are_errors() {
    let file = |header: &str, data: usize| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
    };
    let header = r#"{"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}"#;
    let checkpoint = read_bytes(&file(header, 8)).unwrap();
    assert_eq!(checkpoint.section("")["a"].strides, [2, 1]);
    assert!(error_of(&file(header, 7)).contains("cut short"));
    let bomb = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    assert!(read_bytes(&file(bomb, 0)).is_err());
    let mut lying = file(header, 8);
    lying[..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    lying[8] = b'{';
    assert!(error_of(&lying).contains("header"));
}

#[test]
fn files_of_no_known_format_are_told_apart() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&[u8], &str); 4] = [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (&tar, "tar archive"),
        (b"\x80\x02\x8a\x0a12345678901234", "none of these"),
    ];
    for (bytes, word) in cases {
        let text = error_of(bytes);
        assert!(text.contains(word), "{text}");
    }
    assert!(checkpoint::read("/no/such/file").unwrap_err().to_string().contains("/no/such/file"));
}

#[test]
fn tensors_must_lie_inside_their_storage() {
    assert!(read_bytes(&archive(&tensor_pickle(6, 0, &[2, 3], &[3, 1]), 24)).is_ok());
    // a side of 1 may have any stride, as PyTorch writes it
    assert!(read_bytes(&archive(&tensor_pickle(6, 0, &[6, 1], &[1, i64::MAX]), 24)).is_ok());
    let outside: [(i64, i64, &[i64], &[i64]); 7] = [
        (6, 1, &[2, 3], &[3, 1]),
        (6, 0, &[2, 3], &[4, 1]),
        (6, -1, &[2], &[1]),
        (6, 0, &[-2], &[1]),
        (6, 0, &[2, 3], &[1]),
        (6, i64::MAX, &[2], &[i64::MAX]),
        (i64::MAX, 0, &[1 << 40, 1 << 40], &[0, 0]),
    ];
    for (elements, offset, shape, strides) in outside {
        let text = error_of(&archive(&tensor_pickle(elements, offset, shape, strides), 24));
        assert!(text.contains("data.pkl"), "{text}");
    }
    let promised = error_of(&archive(&tensor_pickle(1 << 40, 0, &[1 << 40], &[1]), 24));
    assert!(promised.contains("2^28"), "{promised}");
    let short = error_of(&archive(&tensor_pickle(6, 0, &[6], &[1]), 20));
    assert!(short.contains("20 bytes"), "{short}");
    let expanded = error_of(&archive(&tensor_pickle(1, 0, &[1 << 40], &[0]), 4));
    assert!(expanded.contains("2^28"), "{expanded}");
}

#[test]
fn hostile_pickles_are_errors() {
    let cases: [(&[u8], &str); 14] = [
        (b"\x80\x02", "are left"), // no STOP
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x02I1\n.", "opcode 0x49"),     // text opcode of protocol 0
        (b"\x80\x02\x82\x01.", "opcode 0x82"), // EXT1
        (b"\x80\x02h\x07.", "memo slot 7"),
        (b"\x80\x02q\x00.", "stack is empty"),
        (b"\x80\x02t.", "mark is missing"),
        (b"\x80\x02(N(a.", "stack is empty"), // pop below a mark
        (b"\x80\x02}N(Nu.", "without a value"),
        (b"\x80\x02NNa.", "not a list"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "2147483647 bytes"), // LONG4
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "bytes are promised"),
        (b"\x80\x02NQ.", "persistent id"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "too few"),
    ];
    for (pickle, word) in cases {
        let text = error_of(&archive(pickle, 0));
        assert!(text.contains(word), "{pickle:?}: {text}");
    }
}

#[test]
fn nesting_cycles_and_bombs_end() {
    // a million lists in one another: parsed, flattened and dropped without recursion
    let deep = [&b"\x80\x02"[..], &vec![b']'; 1_000_000], &vec![b'a'; 999_999], b"."].concat();
    assert!(read_bytes(&archive(&deep, 0)).is_ok());
    // a dict that contains itself
    let cycle = b"\x80\x02}q\x00\x8c\x01ah\x00s.";
    let checkpoint = read_bytes(&archive(cycle, 0)).unwrap();
    assert_eq!(checkpoint.tree().find(&["a"; 50]), Some(checkpoint.tree().get(checkpoint.tree().root())));
    // one list of 1000 items, made into a set 2000 times by four bytes each
    let mut bomb = b"\x80\x02(".to_vec();
    bomb.extend(vec![b'N'; 1000]);
    bomb.extend(b"l\x85q\x00cbuiltins\nset\nq\x01");
    bomb.extend(b"h\x01h\x00R0".repeat(2000));
    bomb.push(b'.');
    assert!(error_of(&archive(&bomb, 0)).contains("bomb"));
    // more values than any checkpoint has
    let many = [&b"\x80\x02"[..], &vec![b'N'; 5 << 20], b"."].concat();
    assert!(error_of(&archive(&many, 0)).contains("values"));
}

#[test]
fn damage_to_bytes_is_found() {
    for name in ["protocol_2.pt", "deflated.pt", "legacy.pt"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        assert!(read_bytes(&bytes).is_ok());
        for length in (0..bytes.len()).step_by(7) {
            assert!(read_bytes(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
    // one flipped bit in a storage: the archive's checksum tells
    let mut bytes = std::fs::read(fixture("protocol_2.pt")).unwrap();
    let at = bytes.windows(4).position(|w| w == 23_f32.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    assert!(error_of(&bytes).contains("checksum"));
}

/// Deterministic mutations of every small fixture: an error or a checkpoint, never a panic.
#[test]
fn mutated_files_never_panic() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let names =
        ["protocol_2.pt", "protocol_4.pt", "deflated.pt", "legacy.pt", "dtypes_legacy.pt", "zip64.pt"];
    let mut accepted = 0;
    for name in names {
        let original = std::fs::read(fixture(name)).unwrap();
        for _ in 0..400 {
            let mut bytes = original.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = [0, 0xff, 0x7f, 0x80][random(4)],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random(256) as u8),
                }
            }
            accepted += usize::from(read_bytes(&bytes).is_ok());
        }
    }
    // most mutations hit something that matters; some hit dates or names
    println!("{accepted} of {} mutated files still load", names.len() * 400);
}
