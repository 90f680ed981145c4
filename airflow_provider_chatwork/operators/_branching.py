"""What follows from an option in a DAG: going on, skipping, branching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator, BranchMixIn
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_chatwork.api.errors import ChatworkParameterError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class TakesEffect(BaseOperator, BranchMixIn):
    """An operator whose options say what follows.

    An effect is ``True`` to go on, ``False`` to skip what is downstream, or the ids of the tasks and task groups to go
    on with.
    """

    # Airflow looks for what was skipped only behind tasks that say so.
    inherits_from_skipmixin = True

    def check_effects(
        self,
        context: Context,
        effects: Mapping[str, bool | list[str]],
        *,
        fail_on_reject: bool,
        may_skip: bool = False,
        ignore_trigger_rules: bool = False,
    ) -> None:
        """Find what could not take effect, before people have answered for nothing.

        :param fail_on_reject: whether the task fails instead of skipping.
        :param may_skip: whether the task may have to skip itself.
        :param ignore_trigger_rules: as of :meth:`skip_with_downstream`.
        :raises ChatworkParameterError: for an id of what is not directly downstream, and for a mapped task that would
            have to skip something.
        """
        for option, effect in effects.items():
            for name in effect if not isinstance(effect, bool) else ():
                group = self.dag.task_group_dict.get(name)
                task_ids = {root.task_id for root in group.roots} if group is not None else {name}
                if not task_ids <= self.downstream_task_ids:
                    raise ChatworkParameterError(
                        "options",
                        {option: effect},
                        f"{name!r} is no task directly downstream, which are {sorted(self.downstream_task_ids)}",
                    )
            # What one of several mapped tasks skips goes on all the same: outside of a mapped task group in every
            # Airflow, and inside of one in Airflow 3.3. A failure does stop it.
            is_mapped = getattr(context.get("ti"), "map_index", -1) >= 0
            stops = effect is not True and not (effect is False and fail_on_reject)
            if is_mapped and stops and self.downstream_task_ids:
                raise ChatworkParameterError(
                    "options",
                    {option: effect},
                    "Airflow does not reliably skip what is downstream of one of several mapped tasks, so it could "
                    "go on after a rejection; give fail_on_reject, and no task ids",
                )

        if may_skip and is_mapped and self._needs_more_than_a_skip(ignore_trigger_rules):
            raise ChatworkParameterError(
                "on_timeout",
                "skip",
                "Airflow does not reliably skip what is downstream of one of several mapped tasks, unless it has the "
                "trigger rule all_success, so it could go on without an answer; give 'fail' or an option",
            )

    def _needs_more_than_a_skip(self, ignore_trigger_rules: bool) -> bool:
        """Whether something downstream goes on though this task is skipped."""
        if ignore_trigger_rules:
            return bool(self.downstream_task_ids)
        rules = {getattr(task, "trigger_rule", "all_success") for task in self.downstream_list}
        return not rules <= {"all_success"}

    def skip_with_downstream(self, context: Context, why: str, *, ignore_trigger_rules: bool) -> None:
        """Skip this task, and what an effect of ``False`` skips. Never returns.

        Where trigger rules are ignored on Airflow 3, the task itself ends as successful: Airflow cannot do both there.
        """
        try:
            self.take_effect(context, False, ignore_trigger_rules=ignore_trigger_rules)
        except _downstream_skipped() as skipped:
            if ignore_trigger_rules:
                self.log.warning("%s", why)
                raise
            # What is directly downstream goes by what is written down for it by now, also behind a skipped task.
            raise AirflowSkipException(why) from skipped
        raise AirflowSkipException(why)

    def take_effect(self, context: Context, effect: bool | list[str], *, ignore_trigger_rules: bool) -> None:
        """Let an effect happen. On Airflow 3, skipping ends the task by an exception.

        :param ignore_trigger_rules: whether everything downstream is skipped, and not only what is so directly.
        """
        if effect is True or not self.downstream_task_ids:
            return
        if effect is not False:
            self.do_branch(context, effect)
            return
        relatives = self.get_flat_relatives if ignore_trigger_rules else self.get_direct_relatives
        tasks = [task for task in relatives(upstream=False) if not task.is_teardown]
        skip: Any = self.skip
        if AIRFLOW_V_3_0_PLUS:
            skip(ti=context["ti"], tasks=tasks)
        else:
            skip(context["dag_run"], None, tasks, context["ti"].map_index)


def _downstream_skipped() -> type[BaseException] | tuple[()]:
    """The exception by which Airflow 3 skips what is downstream; Airflow 2 has none."""
    return sdk.DownstreamTasksSkipped if AIRFLOW_V_3_0_PLUS else ()
