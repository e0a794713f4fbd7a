-- The views of data/pose2id.duckdb, one statement each. Paths are relative to the repository's root.
-- {split} in a path stands for every split of params.yaml. A view none of whose files exist is left out.

-- Every usable image: its labels, size and content hash.
CREATE VIEW "index" AS
SELECT * FROM read_parquet('data/index/{split}.parquet');

-- Images that could not be used, with the reason.
CREATE VIEW rejects AS
SELECT path, split, reason FROM read_parquet('data/index/{split}.rejects.parquet')
WHERE kind = 'unusable';

-- Files among the images that are no images and are not meant to be.
CREATE VIEW not_images AS
SELECT path, split FROM read_parquet('data/index/{split}.rejects.parquet')
WHERE kind = 'not_image';

-- Images that data/corrections.csv leaves out.
CREATE VIEW dropped AS
SELECT path, split FROM read_parquet('data/index/{split}.rejects.parquet')
WHERE kind = 'dropped';

-- Key points of real images, where something asked for them.
CREATE VIEW keypoints AS
SELECT split_part(image_id, '/', 1) AS split, *
FROM read_parquet('data/keypoints/{split}/part-*.parquet');

-- Key points of the poses in which images are re-drawn.
CREATE VIEW poses AS
SELECT * FROM read_parquet('data/poses.parquet');

-- Generated pictures (encoded) and what made them; split is the first part of image_id.
CREATE VIEW generated AS
SELECT split_part(image_id, '/', 1) AS split, *
FROM read_parquet('data/generated/{split}/part-*.parquet');

-- Raw features: pose_id -1 is the original.
CREATE VIEW features AS
SELECT split_part(image_id, '/', 1) AS split, *
FROM read_parquet('data/features/{split}/part-*.parquet');

-- Scores and verdict of the quality gates, one row per original and per generated picture.
CREATE VIEW quality AS
SELECT split_part(image_id, '/', 1) AS split, *
FROM read_parquet('data/quality/{split}.parquet');

-- What the quality gates expected and found.
CREATE VIEW expectations AS
SELECT * FROM read_parquet('data/quality/{split}.expectations.parquet')
UNION ALL BY NAME SELECT * FROM read_parquet('data/results/expectations.parquet');

-- Centralized features, L2-normalised, one row per variant and image.
CREATE VIEW centralized AS
SELECT split_part(image_id, '/', 1) AS split, *
FROM read_parquet('data/centralized/{split}/*.parquet', union_by_name = true);

-- Images whose label the features contradict: of another person (wrong_person), of an id that is
-- the same person as another (same_person), or that has two persons (two_persons).
CREATE VIEW label_errors AS
SELECT split_part(image_id, '/', 1) AS split, *
FROM read_parquet('data/audit/label_errors.parquet');

-- Pairs of images that are nearly the same picture; between splits they are leaks.
CREATE VIEW near_duplicates AS
SELECT split_part(image_id, '/', 1) AS split, split_part(other_id, '/', 1) AS other_split, *
FROM read_parquet('data/audit/near_duplicates.parquet');

-- Scores of every variant.
CREATE VIEW summary AS
SELECT * FROM read_parquet('data/results/summary.parquet');

-- The variant that all are compared with, and the best one without re-ranking.
CREATE VIEW compared AS
SELECT 'base' AS base, coalesce(arg_max(variant, mAP), min(variant)) AS best
FROM summary WHERE variant <> 'base' AND NOT reranked;

-- Cumulative match characteristic of every variant.
CREATE VIEW cmc AS
SELECT * FROM read_csv('data/results/cmc.csv', types = {'cmc': 'DOUBLE'});

-- Scores of every query.
CREATE VIEW queries AS
SELECT * FROM read_parquet('data/results/queries.parquet');

-- Scores of every person.
CREATE VIEW identities AS
SELECT * FROM read_parquet('data/results/identities.parquet');

-- The nearest gallery images of every query.
CREATE VIEW rankings AS
SELECT * FROM read_parquet('data/results/rankings.parquet');

-- What each step of the method adds, by `pose2id ablate`.
CREATE VIEW ablation AS
SELECT * FROM read_parquet('data/ablation.parquet');

-- Every setting that `pose2id tune` looked at.
CREATE VIEW tuning AS
SELECT * FROM read_parquet('data/tuning/study.parquet');

-- What the train split says of every setting of each variant's chain: what `auto` stands for.
CREATE VIEW choice AS
SELECT * FROM read_parquet('data/choice.parquet');

-- What ran, when, and how it ended.
CREATE VIEW runs AS
SELECT * FROM read_parquet('data/runs.parquet');
