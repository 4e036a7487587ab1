use super::*;

fn fetch(args: FetchArgs) -> Result<String, String> {
    let mut out = Vec::new();
    run(&args, &mut out, Watch::none()).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

fn named(name: &str) -> FetchArgs {
    FetchArgs { name: Some(name.into()), out: Some("nowhere".into()), force: false }
}

#[test]
fn all_sets_are_listed_without_a_name() {
    let listed = fetch(FetchArgs { name: None, out: None, force: false }).unwrap();
    for set in &SETS {
        assert!(listed.contains(&format!("{}\n", set.name)), "{} is missing in {listed}", set.name);
    }
    assert_eq!(listed.contains("--features fetch"), !cfg!(feature = "fetch"));
}

#[test]
fn the_table_is_well_formed() {
    for origin in SETS.iter().flat_map(|set| set.origins) {
        assert!(origin.url.starts_with("https://"), "{}", origin.url);
        assert_eq!(origin.sha256.is_some(), !origin.stated_by.is_empty(), "{}", origin.url);
        let hex = |sum: &str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(origin.sha256.is_none_or(hex), "{}", origin.url);
    }
}

#[test]
fn a_name_that_is_not_known_is_told_with_those_that_are() {
    let line = fetch(named("sift2m")).unwrap_err();
    assert!(line.contains("no set is named \"sift2m\"; known are sift1m, gist1m"), "{line}");
}

#[cfg(not(feature = "fetch"))]
#[test]
fn a_build_without_the_feature_says_how_to_get_one() {
    let line = fetch(named("sift1m")).unwrap_err();
    assert!(line.contains("--features fetch,hdf5 -- data fetch sift1m"), "{line}");
}

#[cfg(feature = "fetch")]
mod with_the_feature {
    use super::super::*;
    use crate::TruthError;
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use tempfile::TempDir;

    /// SHA-256 of "abc", from FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// A server on this machine that gives each caller this answer, and its address.
    fn serve(answer: Vec<u8>) -> String {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || {
            for caller in server.incoming() {
                // A caller that went away is its own affair.
                answer_to(caller.unwrap(), &answer).ok();
            }
        });
        format!("http://{address}/set")
    }

    fn answer_to(mut caller: TcpStream, answer: &[u8]) -> std::io::Result<()> {
        let mut request = BufReader::new(caller.try_clone()?);
        let mut line = String::new();
        while request.read_line(&mut line)? > 2 {
            line.clear();
        }
        caller.write_all(answer)
    }

    fn ok(announced: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {announced}\r\nconnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn set_of(url: String, sha256: Option<&'static str>, content: Content) -> Set {
        let stated_by = if sha256.is_some() { "the test" } else { "" };
        let origin = Origin { url: url.leak(), bytes: None, sha256, stated_by, content };
        Set { name: "tiny", about: "", terms: "", origins: Box::leak(Box::new([origin])) }
    }

    fn file_of(answer: Vec<u8>, sha256: Option<&'static str>) -> Set {
        set_of(serve(answer), sha256, Content::File("tiny.hdf5"))
    }

    fn get(set: &Set, folder: &Path, force: bool) -> Result<String, String> {
        let mut out = Vec::new();
        download(set, folder, force, &mut out, Watch::none()).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_arrives_is_checked_and_written_down() {
        let folder = TempDir::new().unwrap();
        let sets = folder.path().join("deep/sets");
        let said = get(&file_of(ok(3, b"abc"), Some(ABC)), &sets, false).unwrap();
        assert!(said.contains("3 bytes, SHA-256 as stated by the test"), "{said}");
        assert_eq!(names(&sets), ["tiny.hdf5", "tiny.sha256"]);
        assert_eq!(fs::read(sets.join("tiny.hdf5")).unwrap(), b"abc");
        assert_eq!(fs::read_to_string(sets.join("tiny.sha256")).unwrap(), format!("{ABC}  tiny.hdf5\n"));
    }

    #[test]
    fn what_is_there_is_compared_and_not_fetched_again() {
        let folder = TempDir::new().unwrap();
        let set = file_of(ok(3, b"abc"), None);
        let said = get(&set, folder.path(), false).unwrap();
        assert!(said.contains(&format!("SHA-256 {ABC}, which no one states")), "{said}");
        let gone = set_of("http://127.0.0.1:9/set".into(), None, Content::File("tiny.hdf5"));
        assert!(get(&gone, folder.path(), false).unwrap().contains("already, and as it should be"));
        let file = folder.path().join("tiny.hdf5");
        fs::write(&file, "abd").unwrap();
        let line = get(&gone, folder.path(), false).unwrap_err();
        assert!(line.contains("tiny.hdf5: is there, but differs from what"), "{line}");
        get(&set, folder.path(), true).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"abc", "--force fetches");
        fs::remove_file(folder.path().join("tiny.sha256")).unwrap();
        let line = get(&gone, folder.path(), false).unwrap_err();
        assert!(line.contains("there is no") && line.contains("to compare it with"), "{line}");
    }

    #[test]
    fn what_goes_wrong_is_one_line_and_leaves_nothing() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        let busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec();
        let refused = set_of(format!("http://{closed}/set"), None, Content::File("tiny.hdf5"));
        let unknown = set_of("http://no.such.host.invalid/set".into(), None, Content::File("tiny.hdf5"));
        let archive = Content::Archive(&[("a", "tiny/base.fvecs")]);
        for (set, expected) in [
            (file_of(ok(3, b"abd"), Some(ABC)), "but the test states ba7816bf"),
            (file_of(ok(9, b"abc"), Some(ABC)), "it broke off at byte 3"),
            (file_of(missing, None), "the server does not have it (HTTP 404)"),
            (file_of(busy, None), "the server answered HTTP 503"),
            (file_of(b"nonsense\r\n\r\n".to_vec(), None), "cannot be reached"),
            (refused, "cannot be reached"),
            (unknown, "is there a network?"),
            (set_of(serve(ok(3, b"abc")), Some(ABC), archive), "is no gzipped tar"),
        ] {
            let folder = TempDir::new().unwrap();
            let line = get(&set, &folder.path().join("sets"), false).unwrap_err();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
            assert_eq!(names(folder.path()), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn a_length_that_is_not_the_known_one_is_refused_before_the_download() {
        let folder = TempDir::new().unwrap();
        let origin = Origin {
            url: serve(ok(3, b"abc")).leak(),
            bytes: Some(4),
            sha256: None,
            stated_by: "",
            content: Content::File("tiny.hdf5"),
        };
        let set = Set { name: "tiny", about: "", terms: "", origins: Box::leak(Box::new([origin])) };
        let line = get(&set, folder.path(), false).unwrap_err();
        assert!(line.contains("the server has 3 bytes, but 4 were expected"), "{line}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_wish_to_stop_is_heard() {
        let folder = TempDir::new().unwrap();
        let cancel = AtomicBool::new(true);
        let watch = Watch { progress: &|_, _| (), cancel: &cancel };
        let set = file_of(ok(3, b"abc"), None);
        let error = download(&set, folder.path(), false, &mut Vec::new(), watch).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(TruthError::Cancelled)), "{error:#}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn an_archive_becomes_the_files_of_a_folder() {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
        for (name, content) in [("set/a.fvecs", "abc"), ("set/learn", "no"), ("set/b.fvecs", "")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let archive = tar.into_inner().unwrap().finish().unwrap();
        let folder = TempDir::new().unwrap();
        let members = &[("set/a.fvecs", "tiny/base.fvecs"), ("set/b.fvecs", "tiny/query.fvecs")];
        let url = serve(ok(archive.len(), &archive));
        let set = set_of(url.clone(), None, Content::Archive(members));
        get(&set, folder.path(), false).unwrap();
        assert_eq!(names(folder.path()), ["tiny", "tiny.sha256"]);
        assert_eq!(names(&folder.path().join("tiny")), ["base.fvecs", "query.fvecs"]);
        assert_eq!(fs::read(folder.path().join("tiny/base.fvecs")).unwrap(), b"abc");
        assert!(get(&set, folder.path(), false).unwrap().contains("already, and as it should be"));
        fs::remove_file(folder.path().join("tiny/query.fvecs")).unwrap();
        assert!(get(&set, folder.path(), false).unwrap_err().contains("is not complete"));
        let more = set_of(url, None, Content::Archive(&[("set/c.fvecs", "other/base.fvecs")]));
        assert!(get(&more, folder.path(), false).unwrap_err().contains("not all of its files are in it"));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let line = get(&file_of(ok(3, b"abc"), None), &file.join("sets"), false).unwrap_err();
        assert!(line.contains("file/sets: cannot be written"), "{line}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_stops_the_copy() {
        let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let stopped = http::copy(&b"abc"[..], &mut full, None, Watch::none());
        assert!(matches!(stopped, Err(http::Stopped::Writing(error)) if error.raw_os_error() == Some(28)));
    }
}
