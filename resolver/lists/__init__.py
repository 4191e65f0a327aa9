"""Rank 6: the steward, and the life of an entry at the provider. The stages in their order, each with its module:

| stage | module | what it does |
|---|---|---|
| fetched, verified | `fetch`, `bridge` | a proven `Candidate`, or a reason why not; `bridge`: of an unsigned file |
| decided | `decide` | what becomes of the list, as state and effects, without I/O; `register` carries it out |
| admitted | `admit` | compares the documents, asks the guards, splits the update into what applies and what is held |
| guarded | `guard` | why additions are held; names: `protected`, `infrastructure`; live queries: `shadow` |
| recorded | `state` | what is stored of a list; `restore` makes a damaged record again |
| planned | `compile` | the `Plan` of what should be live, and its compiled file |
| active | `settle`, `activate` | leaf first (`ledger`, `evidence`), then the file; again after a failure |
| appealed | `appeals`, `overdue` | the clock of appeals, `decisions`, and what they suspend (`suspensions`) |

Beside the stages: `steward` is the process with its tasks, `operations` what its control socket is asked, `people` the
overrides and the off switch, `everywhere` what holds at all hosts. `report` and `metrics` say what is so, `difference`
and `withdrawn` answer commands from the disk alone.
"""
