"""What a session knows follows from its events: majorities, ties, abstentions, costs and corrections."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target, resolve_roles
from skada_active.query import RandomSampling
from skada_active.session.events import Asked, from_json, to_json
from skada_active.session.state import SessionState
from skada_active.session.votes import UNDECIDED, majority_vote

N_SOURCE, N_POOL = 4, 12
DOMAIN = np.repeat([1, -1], [N_SOURCE, N_POOL])
Y = np.arange(N_SOURCE + N_POOL) % 3
X = np.column_stack([Y, np.arange(len(Y))]).astype(float)
POOL = np.flatnonzero(DOMAIN < 0)


def start(budget=6, n_rounds=2, seed=0, journal=None, **options):
    loop = ActiveAdaptationLoop(
        DummyClassifier(), RandomSampling(), budget=budget, n_rounds=n_rounds, random_state=seed
    )
    return loop.session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN, journal=journal, **options)


def state(folded):
    """Return all that a folded holds, as a text."""
    roles = folded.roles
    return repr(
        (
            folded.y.tolist(),
            roles.is_labeled.tolist(),
            None if roles.is_excluded is None else roles.is_excluded.tolist(),
            folded.query_round.tolist(),
            folded.bought_ids,
            folded.closed,
            folded.round,
            folded.votes,
            folded.rounds,
            folded.n_corrections,
            folded.spent,
            folded.purchases(),
        )
    )


def cost_of(session, ids):
    return float(np.sum(session.state.spending.costs[np.asarray(ids, dtype=int)]))


class TestAnnotators:
    @pytest.fixture
    def session(self):
        return start(budget=4, n_annotators=2)

    def test_a_row_is_open_until_as_many_have_answered(self, session):
        ids = session.ask()
        session.tell(ids, [0, 1], annotator="anna")
        assert session.open_ids.tolist() == ids.tolist()
        assert session.remaining == 4
        session.tell(ids, [0, 1], annotator="bo")
        assert session.open_ids.tolist() == []
        assert session.state.y[ids].tolist() == [0, 1]

    def test_early_agreement_of_some_settles_nothing(self):
        session = start(n_annotators=3)
        ids = session.ask()
        for name in ("anna", "bo"):
            session.tell(ids, [1] * len(ids), annotator=name)
        assert session.open_ids.tolist() == ids.tolist()

    def test_the_label_is_that_of_the_majority(self):
        session = start(n_annotators=3)
        ids = session.ask()
        for name, labels in [("anna", [0, 1, 2]), ("bo", [0, 2, 1]), ("cy", [1, 2, 2])]:
            session.tell(ids, labels, annotator=name)
        assert session.state.y[ids].tolist() == [0, 2, 2]

    def test_each_annotator_has_open_questions_of_their_own(self, session):
        ids = session.ask()
        session.tell(ids[:1], [0], annotator="anna")
        assert session.ask(annotator="anna").tolist() == ids[1:].tolist()
        assert session.ask(annotator="bo").tolist() == ids.tolist()
        assert session.ask().tolist() == ids.tolist()

    def test_an_annotator_waits_for_the_others(self, session):
        ids = session.ask()
        session.tell(ids, [0, 1], annotator="anna")
        assert session.ask(annotator="anna").tolist() == []
        assert len(session.events) == 2

    def test_nobody_answers_twice(self, session):
        ids = session.ask()
        session.tell(ids[:1], [0], annotator="anna")
        before = state(session.state)
        with pytest.raises(ValueError, match=r"which anna has answered; .*correct\(ids, labels, annotator='anna'\)"):
            session.tell(ids, [1, 1], annotator="anna")
        assert state(session.state) == before

    @pytest.mark.parametrize("annotator", [None, "", 3])
    def test_several_annotators_have_names(self, session, annotator):
        with pytest.raises(ValueError, match="annotator"):
            session.tell(session.ask(), [0, 1], annotator=annotator)
        assert len(session.events) == 1

    def test_a_label_costs_once(self):
        costs = np.full(len(Y), 2.0)
        session = start(budget=4, n_rounds=1, n_annotators=2, costs=costs)
        ids = session.ask()
        for name in ("anna", "bo"):
            session.tell(ids, [0] * len(ids), annotator=name)
        assert (len(ids), session.remaining) == (2, 0)


class TestTies:
    @pytest.fixture
    def session(self):
        session = start(budget=4, n_annotators=2)
        self.ids = session.ask()
        session.tell(self.ids, [0, 1], annotator="anna")
        session.tell(self.ids, [0, 2], annotator="bo")
        return session

    def test_a_tie_is_asked_again_of_anybody(self, session):
        tied = self.ids[1:].tolist()
        assert [session.ask(annotator=name).tolist() for name in (None, "anna", "bo", "cy")] == [tied] * 4
        assert session.status().tied_ids == tied

    def test_the_rest_of_the_round_is_settled(self, session):
        assert session.queried_ids_.tolist() == self.ids[:1].tolist()
        assert session.history_ == []

    def test_another_annotator_decides(self, session):
        session.tell(self.ids[1:], [2], annotator="cy")
        assert session.state.y[self.ids[1]] == 2
        assert len(session.history_) == 1

    def test_the_same_annotator_gives_way(self, session):
        session.tell(self.ids[1:], [2], annotator="anna")
        assert session.state.y[self.ids[1]] == 2

    def test_the_same_answer_again_is_still_a_tie(self, session):
        session.tell(self.ids[1:], [1], annotator="anna")
        assert session.ask(annotator="anna").tolist() == self.ids[1:].tolist()

    def test_a_third_opinion_is_still_a_tie(self, session):
        session.tell(self.ids[1:], [0], annotator="cy")
        assert session.status().tied_ids == self.ids[1:].tolist()
        session.tell(self.ids[1:], [0], annotator="anna")
        assert session.state.y[self.ids[1]] == 0

    def test_an_abstention_leaves_the_other_answer(self, session):
        session.abstain(self.ids[1:], annotator="anna")
        assert session.state.y[self.ids[1]] == 2

    def test_a_correction_decides(self, session):
        session.correct(self.ids[1:], [2], annotator="anna")
        assert session.state.y[self.ids[1]] == 2
        assert session.status().tied_ids == []
        assert len(session.history_) == 1


class TestAbstentions:
    def test_others_decide(self):
        session = start(budget=1, n_rounds=1, n_annotators=3)
        ids = session.ask()
        session.abstain(ids, annotator="anna")
        session.abstain(ids, annotator="bo")
        assert session.open_ids.tolist() == ids.tolist()
        session.tell(ids, [2], annotator="cy")
        assert (session.state.y[ids].tolist(), session.remaining) == ([2], 0)

    def test_a_row_that_all_abstain_on_is_replaced_and_costs_nothing(self):
        session = start(budget=1, n_rounds=1, n_annotators=2)
        ids = session.ask()
        for name in ("anna", "bo"):
            session.abstain(ids, annotator=name)
        assert (session.abstained_ids.tolist(), session.remaining) == (ids.tolist(), 1)
        assert len(session.ask()) == 1
        assert session.ask().tolist() != ids.tolist()

    def test_an_annotator_may_think_again_while_the_row_is_open(self):
        session = start(budget=1, n_rounds=1, n_annotators=2)
        ids = session.ask()
        session.abstain(ids, annotator="anna")
        session.correct(ids, [1], annotator="anna")
        session.abstain(ids, annotator="bo")
        assert session.state.y[ids].tolist() == [1]

    def test_a_readmitted_row_is_asked_about_anew(self):
        session = start(budget=N_POOL, n_rounds=1)
        ids = session.ask()
        session.abstain(ids[:2])
        session.tell(ids[2:], Y[ids[2:]])
        assert session.termination_condition_ == "pool"
        session.readmit(ids[:1])
        assert session.abstained_ids.tolist() == [ids[1]]
        assert session.ask().tolist() == ids[:1].tolist()
        session.tell(ids[:1], Y[ids[:1]])
        assert (session.remaining, session.query_round_[ids[0]]) == (1, 2)

    def test_readmission_forgets_who_abstained(self):
        session = start(budget=N_POOL, n_rounds=1, n_annotators=2)
        ids = session.ask()
        for name in ("anna", "bo"):
            session.abstain(ids, annotator=name)
        session.readmit(ids[:1])
        session.ask()
        assert session.ask(annotator="anna").tolist() == ids[:1].tolist()
        session.tell(ids[:1], [1], annotator="anna")
        assert session.open_ids.tolist() == ids[:1].tolist()

    def test_only_abstained_rows_are_readmitted(self):
        session = start()
        ids = session.ask()
        session.tell(ids[:1], [0])
        for row in (ids[0], ids[1], 0):
            with pytest.raises(ValueError, match="not a row that was abstained on"):
                session.readmit([row])
        assert len(session.events) == 2


class TestCorrectionsByAnnotators:
    @pytest.fixture
    def session(self):
        session = start(budget=6, n_rounds=2, n_annotators=3)
        self.ids = session.ask()
        for name, labels in [("anna", [0, 0, 0]), ("bo", [0, 0, 1]), ("cy", [1, 0, 1])]:
            session.tell(self.ids, labels, annotator=name)
        return session

    def test_a_corrected_answer_turns_the_majority(self, session):
        session.correct(self.ids[:1], [1], annotator="anna")
        assert session.state.y[self.ids].tolist() == [1, 0, 1]
        assert session.queried_ids_.tolist() == self.ids.tolist()

    def test_a_corrected_answer_may_change_nothing(self, session):
        session.correct(self.ids[1:2], [1], annotator="anna")
        assert session.state.y[self.ids].tolist() == [0, 0, 1]
        assert session.status().n_corrections == 1

    def test_a_correction_that_makes_a_tie_is_refused(self, session):
        before = state(session.state)
        with pytest.raises(ValueError, match=rf"row {self.ids[2]} would have no majority any more"):
            session.correct(self.ids[1:], [0, 2], annotator="bo")
        assert state(session.state) == before

    def test_without_an_annotator_the_label_is_set(self, session):
        session.correct(self.ids[:1], [2])
        assert session.state.y[self.ids].tolist() == [2, 0, 1]
        with pytest.raises(ValueError, match="not a row that anna answered"):
            session.correct(self.ids[:1], [0], annotator="anna")

    def test_only_answers_of_the_annotator_are_corrected(self, session):
        ids = session.ask()
        session.tell(ids[:1], [0], annotator="anna")
        for row, name in [(ids[0], "bo"), (ids[1], "anna"), (self.ids[0], "dora"), (0, "anna")]:
            with pytest.raises(ValueError, match=f"not a row that {name} answered"):
                session.correct([row], [1], annotator=name)

    def test_an_open_row_has_no_label_to_set(self, session):
        ids = session.ask()
        session.tell(ids[:1], [0], annotator="anna")
        with pytest.raises(ValueError, match="not a row that has a label"):
            session.correct(ids[:1], [1])

    def test_an_open_answer_is_replaced(self, session):
        ids = session.ask()
        session.tell(ids[:1], [0], annotator="anna")
        session.correct(ids[:1], [1], annotator="anna")
        assert session.open_ids.tolist() == ids.tolist()
        for name in ("bo", "cy"):
            session.tell(ids[:1], [{"bo": 1, "cy": 0}[name]], annotator=name)
        assert session.state.y[ids[0]] == 1


class TestExtend:
    def test_more_budget_goes_on_after_the_end(self, finish):
        session = finish(start(budget=2, n_rounds=1), Y)
        assert session.termination_condition_ == "budget"
        session.extend([3, 1])
        assert (session.budget, session.remaining, session.termination_condition_) == (6, 4, None)
        assert [len(entry["ids"]) for entry in finish(session, Y).history_] == [2, 3, 1]

    @pytest.mark.parametrize("rounds", [2, [1.0], [-1], ["1"], [[1]], None])
    def test_rounds_that_are_none_change_nothing(self, rounds):
        session = start()
        with pytest.raises(ValueError, match="rounds must be a list of integers"):
            session.extend(rounds)
        assert (session.budget, session.events) == (6, [])


int_costs = st.lists(st.integers(1, 9), min_size=N_POOL, max_size=N_POOL)
float_costs = st.lists(st.floats(0.01, 9.0), min_size=N_POOL, max_size=N_POOL)
tenths = st.lists(st.integers(1, 30).map(lambda n: n / 10), min_size=N_POOL, max_size=N_POOL)


class TestCosts:
    @settings(max_examples=60, deadline=None)
    @given(
        costs=int_costs | float_costs | tenths,
        budget=st.integers(0, 30) | st.lists(st.integers(0, 12), min_size=1, max_size=4),
        abstains=st.sets(st.sampled_from(POOL.tolist())),
        sizes=st.lists(st.none() | st.integers(1, 5), min_size=1, max_size=4),
    )
    def test_no_round_spends_more_than_it_may(self, costs, budget, abstains, sizes):
        costs = np.array([1.0] * N_SOURCE + costs)
        session = start(budget=budget, n_rounds=3, costs=costs)
        n_asked = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that the budget cannot pay for
            while len(ids := session.ask(sizes[n_asked % len(sizes)])):
                n_asked += 1
                session.tell(ids, [-1 if row in abstains else Y[row] for row in ids])
        folded = session.state
        assert cost_of(session, folded.bought_ids) <= session.budget + 1e-9
        assert all(cost_of(session, done.bought_ids) <= done.amount + 1e-9 for done in folded.closed)
        assert all(done.size is None or len(done.bought_ids) <= done.size for done in folded.closed)
        assert n_asked <= N_POOL
        assert folded.spent == pytest.approx(cost_of(session, folded.bought_ids))
        # It stops only where nothing can be bought any more.
        left = folded.roles.candidates
        assert not (costs[left] <= session.remaining - 1e-9).any()
        assert session.termination_condition_ == ("budget" if len(left) else "pool")

    @settings(max_examples=40, deadline=None)
    @given(costs=int_costs | float_costs, rounds=st.lists(st.integers(1, 12), min_size=1, max_size=4))
    def test_the_schedule_is_kept_at_every_round(self, costs, rounds):
        costs = np.array([1.0] * N_SOURCE + costs)
        session = start(budget=rounds, costs=costs)
        while len(ids := session.ask()):
            session.tell(ids, Y[ids])
        ends, spent = np.cumsum(session.state.rounds), 0
        for done in session.state.closed:
            end = min(end for end in ends if end >= spent + done.amount - 1e-9)
            spent += cost_of(session, done.bought_ids)
            assert spent <= end + 1e-9

    @settings(max_examples=25, deadline=None)
    @given(
        budget=st.integers(0, N_POOL) | st.lists(st.integers(0, 5), min_size=1, max_size=4),
        seed=st.integers(0, 5),
        abstains=st.sets(st.sampled_from(POOL.tolist())),
        sizes=st.lists(st.none() | st.integers(1, 5), min_size=1, max_size=4),
    )
    def test_costs_of_one_are_no_costs(self, budget, seed, abstains, sizes):
        asked = []
        for costs in (None, np.ones(len(Y), dtype=int), np.ones(len(Y))):
            session = start(budget=budget, seed=seed, costs=costs)
            asked.append([])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                while len(ids := session.ask(sizes[len(asked[-1]) % len(sizes)])):
                    asked[-1].append(ids.tolist())
                    session.tell(ids, [-1 if row in abstains else Y[row] for row in ids])
            asked[-1].append((session.budget, session.remaining, session.termination_condition_))
        assert asked[0] == asked[1] == asked[2]

    def test_a_row_that_costs_more_than_the_round_has_is_not_asked_about(self):
        costs = np.full(len(Y), 5.0)
        costs[POOL[:3]] = 1.0
        session = start(budget=[2, 2], costs=costs)
        asked = []
        while len(ids := session.ask()):
            asked += ids.tolist()
            session.tell(ids, Y[ids])
        assert sorted(asked) == POOL[:3].tolist()
        assert (session.remaining, session.termination_condition_) == (1.0, "budget")

    def test_what_a_round_leaves_goes_to_the_next_one(self):
        session = start(budget=[4, 5], costs=np.full(len(Y), 3.0))
        while len(ids := session.ask()):
            session.tell(ids, Y[ids])
        assert [len(entry["ids"]) for entry in session.history_] == [1, 2]

    def test_tenths_add_up_exactly(self):
        session = start(budget=1, n_rounds=1, costs=np.full(len(Y), 0.1))
        while len(ids := session.ask()):
            session.tell(ids, Y[ids])
        assert (len(session.queried_ids_), session.remaining) == (10, 0.0)

    def test_an_abstention_costs_nothing(self):
        session = start(budget=3, n_rounds=1, costs=np.full(len(Y), 3.0))
        session.abstain(session.ask())
        assert session.remaining == 3
        assert len(session.ask()) == 1

    def test_a_correction_costs_nothing(self):
        session = start(budget=6, n_rounds=1, costs=np.full(len(Y), 3.0))
        ids = session.ask()
        session.tell(ids, [0, 0])
        session.correct(ids, [1, 2])
        assert session.remaining == 0


OPERATIONS = ["ask", "tell", "tell", "tell", "abstain", "correct", "correct", "readmit", "extend"]
NAMES = [None, "anna", "bo", "cy"]


def act(session, operation, seed):
    """Do something that a person may do, chosen by the seed; what does not fit is refused."""
    rng = np.random.default_rng(seed)

    def some(ids):
        return (
            rng.permutation(ids)[: rng.integers(1, len(ids) + 1)].astype(int) if len(ids) else np.array([], dtype=int)
        )

    name = NAMES[rng.integers(len(NAMES))]
    if operation == "ask":
        session.ask([None, 1, 2, 5][rng.integers(4)], annotator=name)
    elif operation in ("tell", "abstain"):
        ids = some(session.ask(annotator=name))
        labels = [-1] * len(ids) if operation == "abstain" else rng.integers(-1, 3, len(ids))
        session.tell(ids, labels, annotator=name)
    elif operation == "correct":
        ids = some(session.state.correctable_ids(name) if rng.random() < 0.9 else POOL)
        session.correct(ids, rng.integers(0, 3, len(ids)), annotator=name)
    elif operation == "readmit":
        session.readmit(some(session.abstained_ids))
    else:
        session.extend(rng.integers(0, 3, rng.integers(0, 3)).tolist())


def check_invariants(folded):
    bought, open_ids, excluded = folded.bought_ids, folded.open_ids, folded.abstained_ids.tolist()
    rounds = [*folded.closed, *([] if folded.round is None else [folded.round])]
    assert sorted(bought) == np.flatnonzero(folded.query_round > 0).tolist()
    assert len({*bought, *open_ids, *excluded}) == len(bought) + len(open_ids) + len(excluded)
    assert bought == [row for one in rounds for row in one.bought_ids]
    assert [one.number for one in rounds] == list(range(1, len(rounds) + 1))
    assert all(folded.query_round[one.bought_ids].tolist() == [one.number] * len(one.bought_ids) for one in rounds)
    assert ((folded.y != -1) == folded.roles.is_labeled).all()
    assert sorted(bought) == folded.roles.labeled_target.tolist()
    assert folded.spent <= folded.budget + 1e-9
    for row in bought:
        assert majority_vote(folded.votes[row].values(), 1) == folded.y[row]
    for row in open_ids:
        assert majority_vote(folded.votes.get(row, {}).values(), folded.n_annotators) is UNDECIDED


@settings(max_examples=150, deadline=None)
@given(
    operations=st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 10**6)), max_size=40),
    n_annotators=st.integers(1, 3),
    costs=st.none() | int_costs | float_costs,
)
def test_the_state_follows_from_the_events(operations, n_annotators, costs):
    costs = None if costs is None else np.array([1.0] * N_SOURCE + costs)
    session = start(budget=6, n_rounds=3, n_annotators=n_annotators, costs=costs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operation, seed in operations:
            before, n_events = state(session.state), len(session.events)
            try:
                act(session, operation, seed)
            except ValueError:
                # An answer may be refused after the question was opened, but then nothing of it is taken.
                assert [type(event) for event in session.events[n_events:]] in ([], [Asked])
                assert len(session.events) > n_events or state(session.state) == before
            check_invariants(session.state)
    events = [from_json(to_json(event)) for event in session.events]
    again = SessionState(
        mask_target(Y, DOMAIN),
        resolve_roles(mask_target(Y, DOMAIN), DOMAIN),
        rounds=session.settings.rounds,
        costs=session.settings.costs,
        n_annotators=n_annotators,
    )
    for event in events:
        again.apply(event)
    assert state(again) == state(session.state)
    assert len(session.history_) == len(again.closed)


@settings(max_examples=15, deadline=None)
@given(
    operations=st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 10**6)), max_size=20),
    n_annotators=st.integers(1, 2),
)
def test_a_resumed_session_has_the_same_state(tmp_path_factory, operations, n_annotators):
    path = tmp_path_factory.mktemp("journal") / "labels.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with start(journal=path, n_annotators=n_annotators) as session:
            for operation, seed in operations:
                try:
                    act(session, operation, seed)
                except ValueError:
                    continue
    with start(journal=path, n_annotators=n_annotators) as resumed:
        assert state(resumed.state) == state(session.state)
        assert repr(resumed.history_) == repr(session.history_)
        np.testing.assert_array_equal(resumed.estimator_.class_prior_, session.estimator_.class_prior_)
