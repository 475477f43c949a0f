//! tantivy over the same names and queries as `benches/search.rs`: `search-peers NAMES QUERIES`, a line each.
//!
//! Its best settings for this job: one text field without positions, frequencies or scores, nothing stored, everything
//! in memory, and for searching all segments merged into one. A query is two terms, both wanted; its walk ends after
//! 250 documents, which no collector of tantivy's does. Document numbers are the answer, as file numbers are ours.

use std::hint::black_box;
use std::time::Instant;

use tantivy::query::{BooleanQuery, EnableScoring, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{AsciiFoldingFilter, LowerCaser, SimpleTokenizer, TextAnalyzer};
use tantivy::{Index, Searcher, TERMINATED, TantivyDocument, Term};

const MOST: usize = 250;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [names, queries] = &arguments[..] else { return Err("usage: search-peers NAMES QUERIES".into()) };
    let names = std::fs::read_to_string(names)?;
    let names: Vec<&str> = names.lines().collect();
    let queries = std::fs::read_to_string(queries)?;
    let queries: Vec<&str> = queries.lines().collect();
    println!("version {}", tantivy::version_string());

    for threads in [2, 1] {
        let began = Instant::now();
        let (index, field) = build(&names, threads)?;
        println!("build_{threads}_ms {}", began.elapsed().as_millis());
        if threads == 2 {
            continue;
        }
        let began = Instant::now();
        let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, 50_000_000)?;
        let segments = index.searchable_segment_ids()?;
        if segments.len() > 1 {
            writer.merge(&segments).wait()?;
        }
        writer.wait_merging_threads()?;
        println!("merge_ms {}", began.elapsed().as_millis());
        let searcher = index.reader()?.searcher();
        println!("segments {}", searcher.segment_readers().len());
        println!("bytes {}", searcher.space_usage()?.total().get_bytes());
        let mut best: Option<(u128, u128)> = None;
        let mut found = 0;
        for _ in 0..ROUNDS {
            found = 0;
            let mut times = Vec::with_capacity(queries.len());
            for query in &queries {
                let began = Instant::now();
                found += black_box(search(&searcher, field, query)?).len();
                times.push(began.elapsed().as_nanos());
            }
            times.sort_unstable();
            let round = (times[times.len() / 2], times[times.len() * 95 / 100]);
            best = Some(best.map_or(round, |best| best.min(round)));
        }
        let (median, p95) = best.unwrap_or_default();
        println!("median_ns {median}\np95_ns {p95}\nfound {found}");
    }
    Ok(())
}

fn build(names: &[&str], threads: usize) -> tantivy::Result<(Index, Field)> {
    let indexing = TextFieldIndexing::default().set_tokenizer("names").set_index_option(IndexRecordOption::Basic);
    let mut schema = Schema::builder();
    let field = schema.add_text_field("name", TextOptions::default().set_indexing_options(indexing.set_fieldnorms(false)));
    let index = Index::create_in_ram(schema.build());
    let tokenizer = TextAnalyzer::builder(SimpleTokenizer::default()).filter(LowerCaser).filter(AsciiFoldingFilter);
    index.tokenizers().register("names", tokenizer.build());
    let mut writer = index.writer_with_num_threads(threads, 500_000_000)?;
    for name in names {
        let mut document = TantivyDocument::new();
        document.add_text(field, name);
        writer.add_document(document)?;
    }
    writer.commit()?;
    writer.wait_merging_threads()?;
    Ok((index, field))
}

fn search(searcher: &Searcher, field: Field, words: &str) -> tantivy::Result<Vec<u32>> {
    let term = |word: &str| -> Box<dyn Query> {
        Box::new(TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::Basic))
    };
    let query = BooleanQuery::intersection(words.split(' ').map(term).collect());
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut found = Vec::new();
    for segment in searcher.segment_readers() {
        let mut walk = weight.scorer(segment, 1.0)?;
        let mut document = walk.doc();
        while document != TERMINATED && found.len() < MOST {
            found.push(document);
            document = walk.advance();
        }
    }
    Ok(found)
}
