mod fuzz_entries;
#[test]
fn one() {
    let path = std::env::var("ONE").expect("ONE=target:file");
    let (t, f) = path.split_once(':').unwrap();
    let data = std::fs::read(f).unwrap();
    (fuzz_entries::TARGETS.iter().find(|(n, _)| *n == t).unwrap().1)(&data);
}
