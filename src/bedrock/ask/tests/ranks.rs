//! What a request to rank is billed as.

use super::*;

/// So many tokens by the estimate.
fn words(tokens: usize) -> String {
    vec!["a"; tokens].join(" ")
}

fn invoke(query: &str, documents: &[Value]) -> u64 {
    let body = json!({"documents": documents, "query": query, "top_n": 3, "api_version": 2});
    let asked = ask("InvokeModel", "cohere.rerank-v3-5:0", &body.to_string());
    let cut = Ask::read(named("InvokeModel"), Some("cohere.rerank-v3-5:0"), &pieces(&body.to_string(), 7));
    assert_eq!(asked.queries, cut.queries);
    asked.queries
}

fn rerank(query: &str, documents: &[Value]) -> u64 {
    let sources = documents.iter().map(|document| match document {
        Value::String(text) => {
            json!({"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}})
        }
        other => json!({"type": "INLINE", "inlineDocumentSource": {"type": "JSON", "jsonDocument": other}}),
    });
    let sources: Vec<_> = sources.collect();
    let body = json!({"queries": [{"type": "TEXT", "textQuery": {"text": query}}], "sources": sources,
        "rerankingConfiguration": {"type": "BEDROCK_RERANKING_MODEL"}});
    ask("Rerank", "amazon.rerank-v1:0", &body.to_string()).queries
}

#[test]
fn documents_are_billed_by_the_hundred_chunks() {
    for queries in [invoke, rerank] {
        let (short, long) = (|count| vec![json!("a cat"); count], |tokens, count| vec![json!(words(tokens)); count]);
        for (query, documents, expected) in [
            (words(12), Vec::new(), 0),
            (words(12), short(1), 1),
            (words(12), short(100), 1),
            (words(12), short(101), 2),
            (words(12), short(250), 3),
            (words(12), long(500, 100), 1),
            (words(12), long(501, 100), 2),
            (words(12), long(1_500, 100), 3),
            (words(12), long(1_501, 100), 4),
            (words(12), long(50_000, 1), 1),
            (words(12), long(50_001, 1), 2),
            // What is left of a chunk beside the query.
            (words(212), long(500, 100), 2),
            (words(212), long(601, 100), 3),
            (words(600), long(256, 100), 1),
            (words(600), long(257, 100), 2),
        ] {
            let described = format!(
                "{} documents of {} by {}",
                documents.len(),
                documents.first().map_or(0, |d| d.to_string().len()),
                query.len()
            );
            assert_eq!(queries(&query, &documents), expected, "{described}");
        }
        let mixed = [short(99), long(1_000, 1)].concat();
        assert_eq!(queries(&words(12), &mixed), 2);
    }
}

#[test]
fn a_document_with_fields_is_all_of_its_text() {
    let document = json!({"title": words(300), "lines": [{"text": words(200)}, {"text": words(600)}], "year": 2026});
    for queries in [invoke, rerank] {
        // 1,111 tokens and a little more.
        assert_eq!(queries("a", &vec![document.clone(); 33]), 1);
        assert_eq!(queries("a", &vec![document.clone(); 34]), 2);
    }
    let empty = json!({"query": "a", "documents": vec![json!({}); 101]});
    assert_eq!(ask("InvokeModel", "cohere.rerank-v3-5:0", &empty.to_string()).queries, 2);
    // Of a kind that nobody knows.
    let unknown = json!({"sources": vec![json!({"type": "S3"}); 101]});
    assert_eq!(ask("Rerank", "amazon.rerank-v1:0", &unknown.to_string()).queries, 2);
}
