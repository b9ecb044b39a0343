"""schedule create, list, replace, delete."""

from __future__ import annotations

from pipelines.kubeflow.client import connect


def test_a_schedule_is_made_listed_replaced_and_deleted(kubeflow, host, state):
    code, said = kubeflow("schedule", "create", "nightly", "--service-account", "vlm-pipeline")
    assert code == 0, said
    (first,) = state.recurring
    assert f"{host}/#/recurringrun/details/{first['recurring_run_id']}" in said
    assert first["trigger"]["cron_schedule"]["cron"] == "0 0 1 * * *"
    assert first["mode"] == "ENABLE" and first["no_catchup"] is True and int(first["max_concurrency"]) == 1
    assert first["service_account"] == "vlm-pipeline"
    code, said = kubeflow("schedule", "list")
    assert code == 0
    assert said == f"nightly  enabled  0 0 1 * * *  version v0  {first['recurring_run_id']}\n"

    code, said = kubeflow("schedule", "replace", "nightly", "--cron", "0 30 2 * * *")
    assert code == 0, said
    (second,) = state.recurring
    assert second["recurring_run_id"] != first["recurring_run_id"] and second["status"] == "ENABLED"
    assert second["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * *"

    assert kubeflow("schedule", "delete", "nightly") == (0, "deleted 1 recurring run named nightly\n")
    assert not state.recurring
    assert kubeflow("schedule", "list") == (0, "no recurring runs\n")


def test_replace_makes_one_where_there_is_none(kubeflow, state):
    assert kubeflow("schedule", "replace", "nightly")[0] == 0
    assert [run["status"] for run in state.recurring] == ["ENABLED"]


def test_create_refuses_a_second_one(kubeflow, state):
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    code, said = kubeflow("schedule", "create", "nightly")
    assert code == 78 and "use `schedule replace`" in said and len(state.recurring) == 1
    assert kubeflow("schedule", "create", "weekly")[0] == 0 and len(state.recurring) == 2


def test_delete_makes_nothing(kubeflow, state):
    code, said = kubeflow("schedule", "delete", "nightly")
    assert code == 66 and "there is no schedule nightly" in said
    assert {method for method, _ in state.requests} == {"GET"} and not state.experiments


def test_replace_touches_its_own_only_and_looks_on_every_page(kubeflow, state):
    state.page_size = 1
    for name in ("weekly", "nightly"):
        assert kubeflow("schedule", "create", name)[0] == 0
    assert kubeflow("schedule", "replace", "nightly")[0] == 0
    assert sorted(run["display_name"] for run in state.recurring) == ["nightly", "weekly"]


def test_a_zone_is_translated_or_refused(kubeflow, state):
    assert kubeflow("schedule", "replace", "n", "--cron", "0 0 10 * * *", "--timezone", "Asia/Tokyo")[0] == 0
    assert state.recurring[0]["trigger"]["cron_schedule"]["cron"] == "0 0 1 * * *"
    code, said = kubeflow("schedule", "replace", "n", "--timezone", "Europe/Berlin")
    assert code == 78 and "cronScheduleTimezone" in said
    berlin = ("--timezone", "Europe/Berlin", "--kubeflow-timezone", "Europe/Berlin")
    assert kubeflow("schedule", "replace", "n", *berlin)[0] == 0
    assert state.recurring[0]["trigger"]["cron_schedule"]["cron"] == "0 0 1 * * *"


def test_an_expression_that_kubeflow_refuses(kubeflow, state, monkeypatch):
    monkeypatch.setattr("pipelines.kubeflow.cron.in_kubeflow_zone", lambda *_: "TZ=UTC 0 0 1 * * *")
    code, said = kubeflow("schedule", "replace", "nightly")
    assert code == 78 and "not a supported format" in said and not state.recurring


def test_the_new_one_is_there_before_the_old_one_goes_and_enabled_after(kubeflow, state):
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    (old,) = state.recurring
    before = len(state.requests)
    assert kubeflow("schedule", "replace", "nightly")[0] == 0
    steps = [step for step in state.requests[before:] if "recurringruns" in step[1]]
    assert [method for method, _ in steps] == ["GET", "POST", "POST", "DELETE", "POST"]
    assert steps[2][1].endswith(f"{old['recurring_run_id']}:disable") and steps[4][1].endswith(":enable")
    assert steps[3][1].endswith(old["recurring_run_id"])


def test_a_replacement_that_was_interrupted_is_finished_by_the_next(kubeflow, host, state):
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    (old,) = state.recurring
    connect(host, "team").client.create_recurring_run(
        "e0", "nightly", cron_expression="0 0 1 * * *", pipeline_id="p0", version_id="v0", enabled=False
    )
    # Killed here: the old one still runs.
    assert [run["status"] for run in state.recurring] == ["ENABLED", "DISABLED"]
    assert kubeflow("schedule", "replace", "nightly")[0] == 0
    (left,) = state.recurring
    assert left["status"] == "ENABLED" and left["recurring_run_id"] != old["recurring_run_id"]


def test_replace_lets_a_run_under_way_go_on(kubeflow, state):
    """Deleting the recurring run would kill it: its workflow belongs to it (seen)."""
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    (old,) = state.recurring
    run_id = state.schedule_starts_a_run(old["recurring_run_id"])
    code, said = kubeflow("schedule", "replace", "nightly")
    assert code == 0 and "is disabled and not deleted" in said and run_id in said
    assert [run["status"] for run in state.recurring] == ["DISABLED", "ENABLED"]
    assert run_id not in state.lost

    code, said = kubeflow("schedule", "list")  # still under way
    assert code == 0 and run_id in said and len(state.recurring) == 2
    state.ends(run_id)
    code, said = kubeflow("schedule", "list")
    assert code == 0 and "note" not in said and said.count("nightly") == 1
    assert [run["status"] for run in state.recurring] == ["ENABLED"] and not state.lost


def test_replacing_again_and_again_keeps_each_run(kubeflow, state):
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    runs = []
    for _ in range(3):
        enabled = [run for run in state.recurring if run["status"] == "ENABLED"]
        runs.append(state.schedule_starts_a_run(enabled[0]["recurring_run_id"]))
        assert kubeflow("schedule", "replace", "nightly")[0] == 0
    assert [run["status"] for run in state.recurring] == ["DISABLED"] * 3 + ["ENABLED"] and not state.lost
    state.ends(runs[0])
    state.ends(runs[2])
    assert kubeflow("schedule", "replace", "nightly")[0] == 0
    assert [run["status"] for run in state.recurring] == ["DISABLED", "ENABLED"] and not state.lost


def test_delete_waits_for_a_run_under_way(kubeflow, state):
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    run_id = state.schedule_starts_a_run(state.recurring[0]["recurring_run_id"])
    for _ in range(2):  # the second time changes nothing
        code, said = kubeflow("schedule", "delete", "nightly")
        assert code == 0 and "is disabled and not deleted" in said and "deleted 0" not in said
        assert {run["status"] for run in state.recurring} == {"DISABLED"} and len(state.recurring) == 2
    code, said = kubeflow("schedule", "list")
    assert run_id in said and said.count("nightly  disabled") == 1
    state.ends(run_id)
    assert kubeflow("schedule", "list") == (0, "no recurring runs\n")
    assert not state.recurring and not state.lost


def test_create_after_such_a_delete(kubeflow, state):
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    run_id = state.schedule_starts_a_run(state.recurring[0]["recurring_run_id"])
    assert kubeflow("schedule", "delete", "nightly")[0] == 0
    code, said = kubeflow("schedule", "create", "nightly")
    assert code == 0 and run_id in said
    assert [run["status"] for run in state.recurring] == ["DISABLED", "ENABLED"]
    state.ends(run_id)
    assert kubeflow("schedule", "delete", "nightly") == (0, "deleted 2 recurring runs named nightly\n")


def test_delete_by_force_ends_the_run_first(kubeflow, state):
    """Otherwise Kubeflow would call it running for ever."""
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    run_id = state.schedule_starts_a_run(state.recurring[0]["recurring_run_id"])
    code, said = kubeflow("schedule", "delete", "nightly", "--force")
    assert code == 0 and f"ended {run_id}" in said and not state.recurring
    assert state.runs[run_id][-1]["state"] == "CANCELED" and run_id not in state.lost


def test_a_paused_schedule_is_not_swept_away(kubeflow, state):
    """Somebody disabled it on Kubeflow's page: it is the newest of its name."""
    for name in ("nightly", "weekly"):
        assert kubeflow("schedule", "create", name)[0] == 0
    state.recurring[0]["status"] = "DISABLED"
    code, said = kubeflow("schedule", "list")
    assert code == 0 and "nightly  disabled" in said and len(state.recurring) == 2


def test_runs_of_others_and_older_ones_do_not_count(kubeflow, state):
    state.page_size = 1
    for name in ("nightly", "weekly"):
        assert kubeflow("schedule", "create", name)[0] == 0
    nightly, weekly = (run["recurring_run_id"] for run in state.recurring)
    state.ends(state.schedule_starts_a_run(nightly))
    other = state.schedule_starts_a_run(weekly)
    assert kubeflow("schedule", "replace", "nightly")[0] == 0
    assert [run["display_name"] for run in state.recurring] == ["weekly", "nightly"]
    assert other not in state.lost
