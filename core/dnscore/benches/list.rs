//! `cargo bench -p dnscore --bench list [-- FILE]`: the compiled list's octets a name, time to compile, and nanoseconds
//! a look-up in batches of 64. Then, what sealed lists beside it cost a query that is on none: the same file with their
//! keys and without, piece by piece in turn.
//!
//! FILE holds one name a line; without it a million pairs of made-up words stand in. Half of what is asked for that is
//! not listed is a listed name with a letter changed, half a made-up one; each with two labels or three.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dnscore::list::{Action, Aliases, BATCH, CompiledList, Hits, KEY, Source, compile, sealed_digest};
use dnscore::wire::Name;

const ROUNDS: usize = 7;
const QUERIES: usize = 1 << 19;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn word(&mut self) -> String {
        const START: [&str; 24] = [
            "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "br", "tr",
            "ch", "pl", "sh", "cr",
        ];
        const MIDDLE: [&str; 12] = ["a", "e", "i", "o", "u", "ea", "ou", "ai", "oo", "y", "ie", "au"];
        const END: [&str; 12] = ["", "", "", "n", "r", "s", "t", "l", "ng", "ck", "nd", "m"];
        let syllables = 2 + self.below(3);
        (0..syllables).map(|_| [START[self.below(24)], MIDDLE[self.below(12)], END[self.below(12)]].concat()).collect()
    }
}

fn made_up(count: usize) -> Vec<String> {
    let mut random = Random(1);
    let words: Vec<String> = (0..200_000).map(|_| random.word()).collect();
    let tops = ["com", "com", "com", "net", "org", "de"];
    let mut names = std::collections::HashSet::new();
    while names.len() < count {
        let (first, second) = (random.below(words.len()), random.below(words.len()));
        names.insert(format!("{}{}.{}", words[first], words[second], tops[random.below(6)]));
    }
    names.into_iter().collect()
}

fn write_document(names: &mut Vec<String>, path: &Path) -> std::io::Result<u64> {
    names.sort_by(|one, other| one.rsplit('.').cmp(other.rsplit('.')));
    names.dedup();
    let mut encoder = zstd::Encoder::new(std::fs::File::create(path)?, 3)?;
    let mut random = Random(2);
    let (mut octets, mut line) = (0, String::new());
    for name in names {
        line.clear();
        let _ = write!(
            line,
            r#"{{"basis":"order-{}","category":"gambling","expires":"20{:02}-11-22T00:00:00Z","issued":"2026-11-22T00:00:00Z","match":"subtree","name":"{name}","reference":""#,
            random.below(8),
            27 + random.below(4),
        );
        line.extend((0..16).map(|_| char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[random.below(32)])));
        line.push_str("\"}\n");
        octets += line.len() as u64;
        encoder.write_all(line.as_bytes())?;
    }
    encoder.finish()?;
    Ok(octets)
}

fn measure(what: &str, list: &CompiledList, queries: &[String]) {
    // Names come from the parser one batch at a time, so what is measured is the list's memory, not theirs.
    let mut names = [Name::ROOT; BATCH];
    let mut hits = Hits::new();
    let mut found = 0;
    // short pieces, so that most of them are not interrupted; the lower quartile leaves out those that were
    let mut pieces = Vec::new();
    for _ in 0..ROUNDS {
        found = 0;
        for piece in queries.chunks(16 * BATCH) {
            let mut took = Duration::ZERO;
            for batch in piece.chunks(BATCH) {
                for (name, query) in names.iter_mut().zip(batch) {
                    *name = Name::from_text(query).unwrap_or(Name::ROOT);
                }
                let names = names.each_ref();
                let start = Instant::now();
                list.look_up(&names[..batch.len()], &mut hits);
                took += start.elapsed();
                found += (0..batch.len()).map(|index| usize::from(!hits.of(index).is_empty())).sum::<usize>();
            }
            pieces.push(took.as_secs_f64() * 1e9 / piece.len() as f64);
            black_box(&hits);
        }
    }
    pieces.sort_by(f64::total_cmp);
    let (quartile, median) = (pieces[pieces.len() / 4], pieces[pieces.len() / 2]);
    let share = 100.0 * found as f64 / queries.len() as f64;
    println!("{what:<28} {quartile:>8.1} ns   (median {median:.1}, {share:.2}% listed)");
}

/// A sealed document of so many made-up names.
fn write_sealed(count: usize, key: &[u8; KEY], path: &Path) -> std::io::Result<()> {
    let mut random = Random(4);
    let name = |number: usize| Name::from_text(&format!("s{number}.example")).unwrap_or(Name::ROOT);
    let mut digests: Vec<_> = (0..count).map(|number| sealed_digest(key, &name(number))).collect();
    digests.sort_unstable();
    let mut encoder = zstd::Encoder::new(std::fs::File::create(path)?, 3)?;
    for digest in digests {
        let digest = digest.iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}"));
        let reference: String =
            (0..16).map(|_| char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[random.below(32)])).collect();
        writeln!(
            encoder,
            r#"{{"basis":"order-1","category":"abuse","digest":"{digest}","expires":"2028-11-22T00:00:00Z","issued":"2026-11-22T00:00:00Z","match":"subtree","reference":"{reference}"}}"#,
        )?;
    }
    encoder.finish()?;
    Ok(())
}

/// What `lists` sealed lists of `count` names each cost a query that is on none, beside the plain list.
fn measure_sealed(
    folder: &Path,
    plain: Source<'_>,
    lists: u8,
    count: usize,
    queries: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let keys: Vec<[u8; KEY]> = (1..=lists).map(|number| [number; KEY]).collect();
    let mut documents = Vec::new();
    for (key, number) in keys.iter().zip(1u8..) {
        let path = folder.join(format!("sealed-{number}.zst"));
        write_sealed(count, key, &path)?;
        documents.push((path, sealed_digest(key, &Name::ROOT)));
    }
    let mut sources = vec![plain.clone()];
    sources.extend(documents.iter().map(|(document, check)| Source { document, seal: Some(*check), ..plain.clone() }));
    let output = folder.join("sealed");
    compile(&sources, &output, b"{}", 1 << 32)?;
    let off = CompiledList::open(&output)?;
    let start = Instant::now();
    let on = CompiledList::open(&output)?;
    let opened = start.elapsed().as_secs_f64();
    keys.iter().zip(1u8..).try_for_each(|(key, number)| on.unseal(number, key))?;
    let mut names = [Name::ROOT; BATCH];
    let mut hits = Hits::new();
    let mut costs = Vec::new();
    for piece in queries.chunks(16 * BATCH) {
        let mut took = [Duration::ZERO; 2];
        for (list, took) in [&off, &on].into_iter().zip(&mut took) {
            for batch in piece.chunks(BATCH) {
                for (name, query) in names.iter_mut().zip(batch) {
                    *name = Name::from_text(query).unwrap_or(Name::ROOT);
                }
                let names = names.each_ref();
                let start = Instant::now();
                list.look_up(&names[..batch.len()], &mut hits);
                *took += start.elapsed();
                black_box(&hits);
            }
        }
        costs.push((took[1].as_secs_f64() - took[0].as_secs_f64()) * 1e9 / piece.len() as f64);
    }
    costs.sort_by(f64::total_cmp);
    let (quartile, median) = (costs[costs.len() / 4], costs[costs.len() / 2]);
    let sealed = |name: &str| ["seals", "screens", "digests", "index of digests"].contains(&name);
    let hot: u64 = on.sizes().iter().filter(|(name, _)| sealed(name)).map(|(_, octets)| octets).sum();
    println!(
        "{:<28} {quartile:>8.1} ns   (median {median:.1}; {:.2} B a digest; all opened in {opened:.2} s)",
        format!("{lists} sealed of {count}: more"),
        hot as f64 / (count * usize::from(lists)) as f64,
    );
    Ok(())
}

/// Processor time of this thread, where Linux says it.
fn seconds_on_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

fn run(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let mut names = match file {
        None => made_up(1_000_000),
        Some(file) => std::fs::read_to_string(file)?.lines().map(str::to_owned).collect(),
    };
    let lists: usize = std::env::var("LISTS").ok().and_then(|lists| lists.parse().ok()).unwrap_or(1);
    let mut documents = Vec::new();
    let per_list = names.len().div_ceil(lists);
    for (number, part) in names.chunks_mut(per_list).enumerate() {
        let path = folder.join(format!("{number}.zst"));
        write_document(&mut part.to_vec(), &path)?;
        documents.push(path);
    }
    let sources: Vec<Source<'_>> = documents
        .iter()
        .map(|document| Source {
            document,
            action: Action::StopPage,
            aliases: Aliases::Trim,
            ede: 16,
            bases: &[],
            suspended: &[],
            seal: None,
        })
        .collect();
    let output = folder.join("compiled");
    let (start, on_cpu) = (Instant::now(), seconds_on_cpu());
    let summary = compile(&sources, &output, b"{}", 1 << 32)?;
    let (elapsed, on_cpu) = (start.elapsed().as_secs_f64(), seconds_on_cpu() - on_cpu);
    println!(
        "{:<28} {on_cpu:>8.2} s    (one thread's; elapsed {elapsed:.2}; {} names in {lists} lists)",
        "compile", summary.names
    );
    let start = Instant::now();
    let list = CompiledList::open(&output)?;
    println!("{:<28} {:>8.2} s", "open", start.elapsed().as_secs_f64());
    let each = |octets: u64| octets as f64 / f64::from(summary.names);
    let size = |wanted: &[&str]| -> u64 {
        list.sizes().iter().filter(|(name, _)| wanted.contains(name)).map(|(_, octets)| octets).sum()
    };
    for (name, octets) in list.sizes() {
        println!("  {name:<26} {:>8.3} B", each(octets));
    }
    println!("{:<28} {:>8.2} B", "trie", each(size(&["tree", "overflow", "buckets", "chains", "tokens"])));
    println!("{:<28} {:>8.2} B", "all that a query touches", each(list.hot_bytes()));
    names.sort_unstable();
    let mut random = Random(3);
    let (mut listed, mut not_listed) = (Vec::new(), Vec::new());
    while listed.len() < QUERIES {
        let name = &names[random.below(names.len())];
        let prefix = if random.below(2) == 0 { "www." } else { "" };
        listed.push(format!("{prefix}{name}"));
        let other = if random.below(2) == 0 {
            let at = random.below(name.split('.').next().unwrap_or_default().len());
            format!("{}q{}", &name[..at], &name[at + 1..])
        } else {
            format!("{}{}.com", random.word(), random.word())
        };
        let parent = other.split_once('.').map_or("", |(_, parent)| parent);
        if names.binary_search(&other).is_err() && names.binary_search_by(|name| name.as_str().cmp(parent)).is_err() {
            not_listed.push(format!("{prefix}{other}"));
        }
    }
    measure("look-up, not listed", &list, &not_listed);
    measure("look-up, listed", &list, &listed);
    for (lists, count) in [(1, 10_000), (2, 10_000), (3, 10_000), (1, 1_000_000), (2, 1_000_000)] {
        measure_sealed(folder, sources[0].clone(), lists, count, &not_listed)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::temp_dir().join(format!("stopsign-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = run(&folder);
    std::fs::remove_dir_all(&folder)?;
    result
}
