//! What counts after every step, and after a power cut behind it.

use super::*;

const fn name(version: u64) -> Name {
    Name {
        version,
        hash: [1; 32],
    }
}

/// As the next start finds it.
fn again(folder: &tempfile::TempDir) -> Documents {
    Documents::open(folder.path(), true).unwrap()
}

fn told(documents: &Documents) -> (u64, DocumentState) {
    let told = documents.told();
    (told.name.version, told.state)
}

#[test]
fn a_document_counts_for_good_only_after_its_trial() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = again(&folder);
    assert_eq!((documents.counts(), told(&documents).0), (None, 0));
    assert!(documents.receive(name(1), "one").unwrap());
    assert_eq!(told(&documents), (1, DocumentState::Received));
    // Cut off before it was judged: as if it had not come.
    assert_eq!(told(&again(&folder)), (0, DocumentState::Confirmed));
    documents.begin_trial().unwrap();
    assert_eq!(documents.counts(), Some(name(1)));
    assert_eq!(documents.text(name(1)).unwrap(), "one");
    documents.confirm().unwrap();
    let mut documents = again(&folder);
    assert_eq!(documents.counts(), Some(name(1)));
    assert_eq!(told(&documents), (1, DocumentState::Confirmed));
    assert!(!documents.receive(name(1), "one").unwrap());
    // The next one is cut off in its trial: the first counts again, and its text is there.
    documents.receive(name(2), "two").unwrap();
    documents.begin_trial().unwrap();
    assert_eq!(Documents::look(folder.path(), true).counts(), Some(name(2)));
    let mut documents = again(&folder);
    assert_eq!(documents.counts(), Some(name(1)));
    assert_eq!(told(&documents), (2, DocumentState::RolledBack));
    assert!(documents.told().words.contains("during the trial"));
    assert_eq!(documents.text(name(1)).unwrap(), "one");
    assert!(documents.text(name(2)).is_err());
    assert_eq!(documents.to_local().unwrap(), name(1));
    let mut documents = again(&folder);
    assert_eq!(documents.counts(), None);
    assert_eq!(told(&documents), (1, DocumentState::RolledBack));
    assert!(matches!(
        documents.to_local(),
        Err(DocumentError::LocalAlready)
    ));
    // The hub still wants the second one: it was tried.
    assert!(!documents.receive(name(2), "two").unwrap());
    assert_eq!(told(&documents), (2, DocumentState::RolledBack));
    assert!(documents.receive(name(4), "two").unwrap());
}

#[test]
fn a_rejected_document_changes_nothing_and_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = again(&folder);
    documents.receive(name(3), "x").unwrap();
    documents.reject(&"ü".repeat(10_000)).unwrap();
    let documents = again(&folder);
    assert_eq!(documents.counts(), None);
    assert_eq!(told(&documents), (3, DocumentState::Rejected));
    assert!(documents.told().words.len() <= WORDS_BYTES_MAX);
}

#[test]
fn a_box_that_takes_none_says_so_and_its_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = again(&folder);
    documents.receive(name(1), "one").unwrap();
    documents.begin_trial().unwrap();
    documents.confirm().unwrap();
    let mut refusing = Documents::open(folder.path(), false).unwrap();
    assert_eq!(refusing.counts(), None);
    assert_eq!(told(&refusing), (0, DocumentState::Rejected));
    assert!(
        refusing
            .told()
            .words
            .contains("accept_configuration = true")
    );
    assert!(!refusing.receive(name(2), "two").unwrap());
    assert_eq!(again(&folder).counts(), Some(name(1)));
}

#[test]
fn a_damaged_state_is_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = again(&folder);
    documents.receive(name(1), "one").unwrap();
    documents.begin_trial().unwrap();
    documents.confirm().unwrap();
    fs::write(
        folder.path().join("documents/state.json"),
        "{\"current\": 7",
    )
    .unwrap();
    let documents = again(&folder);
    assert_eq!(documents.counts(), None);
    assert_eq!(told(&documents), (0, DocumentState::Confirmed));
}
