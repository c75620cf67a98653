(** * Non-vacuity: a theorem whose hypotheses contradict each other proves nothing.

    [nonvacuous thm] is the proposition that the hypotheses of [thm] can hold
    together: it is read off the statement itself, by replacing its conclusion with
    [False] and denying the result.  For a theorem
      [forall x, H1 x -> H2 x -> C x]
    it is  [~ forall x, H1 x -> H2 x -> False].  The gate recomputes it for every
    listed theorem that has hypotheses and compares it with the example
    [<theorem>_nonvacuous]; README.md states the convention. *)
From mathcomp Require Import ssreflect.

Ltac refute_statement T :=
  lazymatch T with
  | forall x : ?A, @?B x =>
      let y := fresh "y" in
      constr:(forall y : A, ltac:(
        let b := eval cbv beta in (B y) in
        let r := refute_statement b in exact r))
  | _ => constr:(False)
  end.

Ltac refute_conclusion thm :=
  let T := type of thm in
  let T := eval cbv zeta in T in
  refute_statement T.

Notation nonvacuous thm :=
  (~ (ltac:(let r := refute_conclusion thm in exact r))) (only parsing).

(** Two theorems under the same hypotheses share an instance: if the hypotheses of
    the second follow from those of the first, an example for the first serves both. *)
Lemma nonvacuous_by (A B : Prop) : ~ A -> (B -> A) -> ~ B.
Proof. by move=> nA BA /BA. Qed.
