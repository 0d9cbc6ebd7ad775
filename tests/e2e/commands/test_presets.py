"""Dumps in a container on several sessions: they come back as they were, and nothing of them stays in there."""

from __future__ import annotations

from tests.e2e.commands.node import Node, docker, wait_for
from tests.support.processes import wait_until

CONTENT = "select md5(string_agg(n::text, '|' order by n)) from notes as n"


def folders(node: Node) -> str:
    return docker("exec", node.container("db"), "sh", "-c", "ls -d /tmp/cn-ops-folder-* 2>/dev/null || true").strip()


def test_parallel_dump_comes_back_on_several_sessions(other_node: Node) -> None:
    before = other_node.sql(CONTENT)
    made = other_node.inv("backup", "--preset=parallel", "--jobs=2", "--json").ok().document["manifest"]
    assert (made["format"], made["flags"]) == ("directory", ["--format=directory", "--compress=zstd:1", "--jobs=2"])
    other_node.sql("delete from notes where id > 3")
    assert other_node.inv("restore", f"--dump={made['id']}", "--jobs=2", "--json").ok().document["tables"]
    assert other_node.sql(CONTENT) == before
    other_node.inv("verify", f"--dump={made['id']}").ok()
    assert folders(other_node) == ""


def test_fast_dump_is_put_beside_the_tools_for_several_sessions(other_node: Node) -> None:
    before = other_node.sql(CONTENT)
    made = other_node.inv("backup", "--preset=fast", "--json").ok().document["manifest"]
    assert made["flags"] == ["--format=custom", "--compress=zstd:1"]
    other_node.inv("restore", f"--dump={made['id']}", "--jobs=2").ok()
    assert other_node.sql(CONTENT) == before
    assert folders(other_node) == ""


def test_killed_parallel_backup_leaves_neither_tools_nor_folder(other_node: Node) -> None:
    other_node.sql("create table many as select n, md5(n::text) from generate_series(1, 400000) as n")
    try:
        killed = other_node.start("backup", "--preset=parallel", "--jobs=2", "--compress=9")
        wait_for(lambda: folders(other_node), killed)
        killed.process.kill()
        killed.process.wait()
        wait_until(lambda: not other_node.tools() and not folders(other_node), 20)
    finally:
        other_node.sql("drop table many")


def test_killed_restore_leaves_no_dump_in_the_container(other_node: Node) -> None:
    other_node.sql("insert into naps values (4)")
    other_node.inv("backup", "--preset=fast").ok()
    killed = other_node.start("restore", "--dump=latest", "--jobs=2")
    wait_for(lambda: folders(other_node), killed)
    killed.process.kill()
    killed.process.wait()
    wait_until(lambda: not folders(other_node), 20)
    other_node.inv("heal").ok()
