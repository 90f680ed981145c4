"""Skip or branch, as the option that was decided for says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator, BranchMixIn
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_chatwork.api.errors import ChatworkParameterError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class BranchingMixin(BaseOperator, BranchMixIn):
    """An operator whose options have effects.

    An effect is ``True`` to continue, ``False`` to skip what is downstream, or the ids of the tasks and task groups to
    branch to.
    """

    # Airflow only looks for skipped tasks behind operators with this attribute.
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
        """Reject effects that Airflow could not apply, before the question is posted.

        :param fail_on_reject: whether the task fails instead of skipping.
        :param may_skip: whether the task may have to skip itself.
        :param ignore_trigger_rules: as of :meth:`skip_with_downstream`.
        :raises ChatworkParameterError: for an id that is not directly downstream, and for a mapped task that would
            have to skip something.
        """
        # In a mapped task, Airflow runs what the task instance wanted to skip: outside of a mapped task group in every
        # version, inside of one in Airflow 3.3. A failed task instance does stop it.
        is_mapped = getattr(context.get("ti"), "map_index", -1) >= 0
        for option, effect in effects.items():
            for name in effect if not isinstance(effect, bool) else ():
                group = self.dag.task_group_dict.get(name)
                task_ids = {root.task_id for root in group.roots} if group is not None else {name}
                if not task_ids <= self.downstream_task_ids:
                    raise ChatworkParameterError(
                        "options",
                        {option: effect},
                        f"{name!r} is not a task directly downstream; these are {sorted(self.downstream_task_ids)}",
                    )
            skips = effect is not True and not (effect is False and fail_on_reject)
            if is_mapped and skips and self.downstream_task_ids:
                raise ChatworkParameterError(
                    "options",
                    {option: effect},
                    "Airflow does not reliably skip what is downstream of a mapped task, so that it could run after a "
                    "rejection; set fail_on_reject, and give no task ids",
                )
        if may_skip and is_mapped and self._has_other_trigger_rules(ignore_trigger_rules):
            raise ChatworkParameterError(
                "on_timeout",
                "skip",
                "Airflow does not reliably skip what is downstream of a mapped task, unless its trigger rule is "
                "all_success, so that it could run without an answer; give 'fail' or an option",
            )

    def _has_other_trigger_rules(self, ignore_trigger_rules: bool) -> bool:
        """Whether something downstream would run although this task is skipped."""
        if ignore_trigger_rules:
            return bool(self.downstream_task_ids)
        rules = {getattr(task, "trigger_rule", "all_success") for task in self.downstream_list}
        return not rules <= {"all_success"}

    def skip_with_downstream(self, context: Context, reason: str, *, ignore_trigger_rules: bool) -> None:
        """Skip this task and what the effect ``False`` skips. Never returns.

        If trigger rules are ignored on Airflow 3, the task itself ends as successful: Airflow cannot do both there.
        """
        try:
            self.apply(context, False, ignore_trigger_rules=ignore_trigger_rules)
        except _downstream_tasks_skipped() as skipped:
            if ignore_trigger_rules:
                self.log.warning("%s", reason)
                raise
            # Airflow has stored the skips of the tasks directly downstream; they hold behind a skipped task as well.
            raise AirflowSkipException(reason) from skipped
        raise AirflowSkipException(reason)

    def apply(self, context: Context, effect: bool | list[str], *, ignore_trigger_rules: bool) -> None:
        """Apply an effect. On Airflow 3, skipping ends the task by an exception.

        :param ignore_trigger_rules: whether everything downstream is skipped, and not only what is directly downstream.
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


def _downstream_tasks_skipped() -> type[BaseException] | tuple[()]:
    """Return the exception by which Airflow 3 skips what is downstream; Airflow 2 has none."""
    return sdk.DownstreamTasksSkipped if AIRFLOW_V_3_0_PLUS else ()
