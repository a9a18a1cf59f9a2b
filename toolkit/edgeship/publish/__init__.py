"""Publishing: bundles become a TUF repository of static files (docs/updates/repository.md).

    keymaking.create(folder: Path, Making(scheme="ed25519", passphrase=None), *, online=None, dev=False) -> KeySet
    keys.load(folders: Sequence[Path], passphrases=()) -> KeySet         # .root: bytes of the root that devices get
    stores.open_store(address: str, *, endpoint_url=None) -> Store       # a folder, or s3://bucket/prefix
    repository.Repository(store: Store, keys: KeySet, clock: Callable[[], datetime] | None = None)
        .refresh() -> Change                      # rollout, snapshot and timestamp signed anew
        .change(edit: Callable[[Draft], None]) -> Change    # draft.put(path, content) offline, .put_online(...) online
        .read() -> State                          # all metadata, verified
    release.publish(repository, bundles: Sequence[Path], *, model=None, version: Version | None = None) -> Published
    policies.set_policy(repository, document: Policy) -> Change; policies.revoke, policies.set_floor, policies.retire
    rollout.set_rollout(repository, document: Rollout) -> Change; rollout.start, set_shares, halt, resume, finish
    overview.status(repository) -> Status; verifying.verify(repository) -> Verified
    rotation.rotate(repository, role: str, making=Making(), *, replaced: Sequence[str] = ()) -> (Repository, key ids)

A repository that is not there yet is made by the first change.
"""
