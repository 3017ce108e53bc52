"""Work pools and their queues: show, create, change, pause and delete them."""

from __future__ import annotations

from shlex import quote
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments.models import WorkPool, WorkQueue
from deployments.pages.arrivals import chart_of
from deployments.pages.forms import NewPoolForm, PoolForm, QueueForm
from deployments.pages.selectors.arrivals import MOST_READ, arrivals_in_queue
from deployments.pages.selectors.work import queue_page, queue_with_pool, work_page
from deployments.work.services.work_pools import create_work_pool, delete_work_pool, update_work_pool
from deployments.work.services.work_queues import create_work_queue, delete_work_queue, update_work_queue
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.submitting import attempt, saved
from orion_site.live.pages import is_shown, live_page
from orionflow.contract.names import quoted
from runs.pages.filtering import address_after
from runs.pages.selectors.keyset import Count, Cursor

TABS = {"waiting": "Waiting", "running": "Running", "upcoming": "Upcoming"}
# Actions on all runs of a tab: the states by which the list of runs finds them, and the words of the link.
CANCEL_ALL = {
    "waiting": ("waiting", "Cancel all that wait…"),
    "running": ("pending,running", "Cancel all that are active…"),
}
EMPTY = {
    "waiting": ("Nothing waits here", "Due runs are listed here until an agent takes them."),
    "running": ("Nothing runs", "Runs that an agent took from this queue are listed here until they end."),
    "upcoming": ("Nothing is planned", "Deployments with a schedule plan their runs ahead."),
}


@requires(Action.READ_QUEUES)
@live_page
def work(request: HttpRequest) -> HttpResponse:
    found = work_page(now=current_time())
    context = {"section": "work", "found": found, "command": command(request)}
    return TemplateResponse(request, "deployments/work.html", context)


@requires(Action.READ_QUEUES)
@live_page
def queue(request: HttpRequest, queue_id: UUID) -> HttpResponse:
    asked = request.GET.get("tab", "")
    tab = asked if asked in TABS else "waiting"
    after = Cursor.read(request.GET.get("after", ""))
    now = current_time()
    found = queue_page(queue=_queue(queue_id), tab=tab, after=after, now=now)
    has_chart = is_shown(request, "hours") and not found.queue.filter
    context = {
        "section": "work",
        "found": found,
        "tab": tab,
        "tabs": TABS,
        "empty": EMPTY[tab],
        # The list of runs cannot find what a queue picks by a filter.
        "bulk": None if found.queue.filter else CANCEL_ALL.get(tab),
        # Agents renew their leases with each heartbeat.
        "topics": "work agents" if tab == "running" else "work",
        # Not the full path, because a part of the page that is loaded separately must have the same forms.
        "here": f"{request.path}?{request.GET.urlencode()}",
        "command": command(request, found.queue),
        "chart": chart_of(arrivals_in_queue(queue_id=queue_id, now=now), queue_id) if has_chart else None,
        "most_read": Count(MOST_READ),
        "is_first": "after" not in request.GET,
        "first": f"?tab={tab}",
        "next": address_after(request.GET, found.page.after),
    }
    return TemplateResponse(request, "deployments/queue.html", context)


def command(request: HttpRequest, queue: WorkQueue | None = None) -> str:
    """Return the command that starts an agent, with the address at which the user reached this server."""
    pool = queue.work_pool if queue else None
    words = [f"ORION_API_URL={request.build_absolute_uri(reverse('api-root'))}", "orion agent start"]
    if pool is not None and pool.name != WorkPool.DEFAULT_NAME:
        words.append(f"--pool {quote(pool.name)}")
    if queue is not None:
        words.append(f"-q {quote(queue.name)}")
    return " ".join(words)


@requires(Action.CHANGE_QUEUES)
def new_pool(request: HttpRequest) -> HttpResponse:
    form = NewPoolForm(request.POST or None, initial={"base_job_template": {}})
    if saved(form, lambda values: create_work_pool(columns=values, now=current_time())):
        return redirect("deployments:work")
    return _form(request, form, "New work pool", "Create pool", reverse("deployments:work"), "Work")


@requires(Action.CHANGE_QUEUES)
def edit_pool(request: HttpRequest, pool_id: UUID) -> HttpResponse:
    pool = _pool(pool_id)
    initial = {name: getattr(pool, name) for name in PoolForm.base_fields}
    form = editing(PoolForm(request.POST or None, initial=initial))
    if saved(
        form,
        lambda values: update_work_pool(
            name=pool.name, changes={name: values[name] for name in form.changed_data}, now=current_time()
        ),
    ):
        return redirect("deployments:work")
    return _form(request, form, f"Work pool {pool.name}", "Save", reverse("deployments:work"), "Work")


@requires(Action.CHANGE_QUEUES)
@require_POST
def pause_pool(request: HttpRequest, pool_id: UUID) -> HttpResponse:
    return _pause_pool(request, pool_id, True, "No run starts from work pool {} until it is resumed.")


@requires(Action.CHANGE_QUEUES)
@require_POST
def resume_pool(request: HttpRequest, pool_id: UUID) -> HttpResponse:
    return _pause_pool(request, pool_id, False, "Runs start from work pool {} again.")


def _pause_pool(request: HttpRequest, pool_id: UUID, paused: bool, done: str) -> HttpResponse:
    name = _pool(pool_id).name
    changes = {"is_paused": paused}
    attempt(
        request,
        lambda: update_work_pool(name=name, changes=changes, now=current_time()),
        done=done.format(quoted(name)),
    )
    return redirect("deployments:work")


@requires(Action.CHANGE_QUEUES)
@require_POST
def delete_pool(request: HttpRequest, pool_id: UUID) -> HttpResponse:
    name = _pool(pool_id).name
    attempt(request, lambda: delete_work_pool(name=name, force=False), done=f"Work pool {quoted(name)} was deleted.")
    return redirect("deployments:work")


@requires(Action.CHANGE_QUEUES)
def new_queue(request: HttpRequest, pool_id: UUID) -> HttpResponse:
    pool = _pool(pool_id)
    form = QueueForm(request.POST or None)
    made: list[WorkQueue] = []
    if saved(
        form,
        lambda values: made.append(create_work_queue(pool_name=pool.name, columns=values, now=current_time())),
    ):
        return redirect("deployments:queue", made[0].pk)
    title = f"New queue in {pool.name}"
    return _form(request, form, title, "Create queue", reverse("deployments:work"), "Work")


@requires(Action.CHANGE_QUEUES)
def edit_queue(request: HttpRequest, queue_id: UUID) -> HttpResponse:
    queue = _queue(queue_id)
    initial = {name: getattr(queue, name) for name in QueueForm.base_fields}
    form = editing(QueueForm(request.POST or None, initial=initial))
    if saved(
        form,
        lambda values: update_work_queue(
            queue_id=queue_id, changes={name: values[name] for name in form.changed_data}, now=current_time()
        ),
    ):
        return redirect("deployments:queue", queue_id)
    return _form(
        request, form, f"Queue {queue.name}", "Save", reverse("deployments:queue", args=[queue_id]), queue.name
    )


@requires(Action.CHANGE_QUEUES)
@require_POST
def pause_queue(request: HttpRequest, queue_id: UUID) -> HttpResponse:
    return _pause_queue(request, queue_id, True, "No run starts from queue {} until it is resumed.")


@requires(Action.CHANGE_QUEUES)
@require_POST
def resume_queue(request: HttpRequest, queue_id: UUID) -> HttpResponse:
    return _pause_queue(request, queue_id, False, "Runs start from queue {} again.")


def _pause_queue(request: HttpRequest, queue_id: UUID, paused: bool, done: str) -> HttpResponse:
    name = _queue(queue_id).name
    changes = {"is_paused": paused}
    attempt(
        request,
        lambda: update_work_queue(queue_id=queue_id, changes=changes, now=current_time()),
        done=done.format(quoted(name)),
    )
    return redirect("deployments:queue", queue_id)


@requires(Action.CHANGE_QUEUES)
@require_POST
def delete_queue(request: HttpRequest, queue_id: UUID) -> HttpResponse:
    name = _queue(queue_id).name
    if attempt(
        request, lambda: delete_work_queue(queue_id=queue_id, force=False), done=f"Queue {quoted(name)} was deleted."
    ):
        return redirect("deployments:work")
    return redirect("deployments:queue", queue_id)


def _form(request: HttpRequest, form: Any, title: str, submit: str, back: str, back_words: str) -> HttpResponse:
    context = {"section": "work", "form": form, "title": title, "submit": submit, "back": (back, back_words)}
    return render(request, "forms/form.html", context)


def _pool(pool_id: UUID) -> WorkPool:
    pool = WorkPool.objects.filter(pk=pool_id).first()
    if pool is None:
        raise Http404
    return pool


def _queue(queue_id: UUID) -> WorkQueue:
    queue = queue_with_pool(queue_id)
    if queue is None:
        raise Http404
    return queue
