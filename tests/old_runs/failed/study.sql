BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'failed');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "flops"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'writer','"process 15430 of host, 12d8692c"');
INSERT INTO "study_user_attributes" VALUES(2,1,'finished','true');
INSERT INTO "study_user_attributes" VALUES(3,1,'stop_reason','null');
INSERT INTO "study_user_attributes" VALUES(4,1,'ended_short','null');
INSERT INTO "study_user_attributes" VALUES(5,1,'test_accuracy:3','0.11977715877437325');
INSERT INTO "study_user_attributes" VALUES(6,1,'test_accuracy:1','0.2395543175487465');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 2, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(2,1,'stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["patch", "conv"]}}');
INSERT INTO "trial_params" VALUES(3,1,'embed_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 32}}');
INSERT INTO "trial_params" VALUES(4,1,'depth',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(5,1,'mlp_ratio',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(6,1,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(7,1,'residual_scale',1.5,'{"name": "FloatDistribution", "attributes": {"step": 0.5, "low": 1.0, "high": 1.5, "log": false}}');
INSERT INTO "trial_params" VALUES(8,1,'reattention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix", "free"]}}');
INSERT INTO "trial_params" VALUES(9,1,'reattention_last',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(10,1,'reattention_1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(11,1,'reattention_2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(12,1,'reattention_3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(13,1,'reattention_4',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(14,1,'reattention_scale',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(15,1,'pool_stages',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(16,1,'pool_1_after',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(17,1,'pool_2_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(18,1,'pool_kernel_size',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(19,1,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(20,2,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 2, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(21,2,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["patch", "conv"]}}');
INSERT INTO "trial_params" VALUES(22,2,'embed_dim',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 32}}');
INSERT INTO "trial_params" VALUES(23,2,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(24,2,'mlp_ratio',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(25,2,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(26,2,'residual_scale',1.5,'{"name": "FloatDistribution", "attributes": {"step": 0.5, "low": 1.0, "high": 1.5, "log": false}}');
INSERT INTO "trial_params" VALUES(27,2,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix", "free"]}}');
INSERT INTO "trial_params" VALUES(28,2,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(29,2,'reattention_1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(30,2,'reattention_2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(31,2,'reattention_3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(32,2,'reattention_4',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(33,2,'reattention_scale',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(34,2,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(35,2,'pool_1_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(36,2,'pool_2_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(37,2,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(38,2,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(39,3,'patch_size',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 2, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(40,3,'stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["patch", "conv"]}}');
INSERT INTO "trial_params" VALUES(41,3,'embed_dim',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 32}}');
INSERT INTO "trial_params" VALUES(42,3,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(43,3,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(44,3,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(45,3,'residual_scale',1.0,'{"name": "FloatDistribution", "attributes": {"step": 0.5, "low": 1.0, "high": 1.5, "log": false}}');
INSERT INTO "trial_params" VALUES(46,3,'reattention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix", "free"]}}');
INSERT INTO "trial_params" VALUES(47,3,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(48,3,'reattention_1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(49,3,'reattention_2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(50,3,'reattention_3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(51,3,'reattention_4',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(52,3,'reattention_scale',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(53,3,'pool_stages',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(54,3,'pool_1_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(55,3,'pool_2_after',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(56,3,'pool_kernel_size',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(57,3,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(58,4,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 2, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(59,4,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["patch", "conv"]}}');
INSERT INTO "trial_params" VALUES(60,4,'embed_dim',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 32}}');
INSERT INTO "trial_params" VALUES(61,4,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(62,4,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(63,4,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(64,4,'residual_scale',1.0,'{"name": "FloatDistribution", "attributes": {"step": 0.5, "low": 1.0, "high": 1.5, "log": false}}');
INSERT INTO "trial_params" VALUES(65,4,'reattention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix", "free"]}}');
INSERT INTO "trial_params" VALUES(66,4,'reattention_last',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(67,4,'reattention_1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(68,4,'reattention_2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(69,4,'reattention_3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(70,4,'reattention_4',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(71,4,'reattention_scale',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(72,4,'pool_stages',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(73,4,'pool_1_after',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(74,4,'pool_2_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(75,4,'pool_kernel_size',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(76,4,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'constraints','[-1202624]');
INSERT INTO "trial_system_attributes" VALUES(2,2,'constraints','[-1510480]');
INSERT INTO "trial_system_attributes" VALUES(3,3,'constraints','[-1282048]');
INSERT INTO "trial_system_attributes" VALUES(4,4,'constraints','[-1641280]');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 4, "num_heads": 2, "mlp_ratio": 2, "reattention": [1, 2], "pools": [{"after": 2, "kernel_size": 3, "stride": 2, "op": "avg"}], "head": "avg", "stem": "conv", "reattention_scale": false, "residual_scale": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'flops','797376');
INSERT INTO "trial_user_attributes" VALUES(3,1,'params','50782');
INSERT INTO "trial_user_attributes" VALUES(4,1,'seed','2083679832');
INSERT INTO "trial_user_attributes" VALUES(5,1,'error_kind','"exception"');
INSERT INTO "trial_user_attributes" VALUES(6,1,'error','"RuntimeError: a broken layer"');
INSERT INTO "trial_user_attributes" VALUES(7,1,'traceback','"Traceback (most recent call last):\n  File \"search/trainable.py\", line 55, in step\n    return result | self._train_one_epoch()\n                    ^^^^^^^^^^^^^^^^^^^^^^^\n  File \"site-packages/ray/util/tracing/tracing_helper.py\", line 487, in _resume_span\n    return method(self, *_args, **_kwargs)\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"broken.py\", line 8, in _train_one_epoch\n    raise RuntimeError(\"a broken layer\")\nRuntimeError: a broken layer\n"');
INSERT INTO "trial_user_attributes" VALUES(8,1,'curve','[]');
INSERT INTO "trial_user_attributes" VALUES(9,1,'seconds','30.754');
INSERT INTO "trial_user_attributes" VALUES(10,1,'started','1796071028.5562072');
INSERT INTO "trial_user_attributes" VALUES(11,1,'worker','"host:15916"');
INSERT INTO "trial_user_attributes" VALUES(12,1,'state','"failed"');
INSERT INTO "trial_user_attributes" VALUES(13,2,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 32, "depth": 3, "num_heads": 4, "mlp_ratio": 2, "reattention": [0, 1, 2], "pools": [], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(14,2,'flops','489520');
INSERT INTO "trial_user_attributes" VALUES(15,2,'params','26846');
INSERT INTO "trial_user_attributes" VALUES(16,2,'seed','369571992');
INSERT INTO "trial_user_attributes" VALUES(17,2,'curve','[{"epoch": 1, "train_loss": 2.3095200061798096, "val_loss": 2.2939951419830322, "accuracy": 0.09375, "seconds": 0.1478609709997727, "images_per_second": 556.8383864909354}, {"epoch": 2, "train_loss": 2.292015314102173, "val_loss": 2.2282872200012207, "accuracy": 0.21875, "seconds": 0.06746151800007283, "images_per_second": 1954.4306775457924}]');
INSERT INTO "trial_user_attributes" VALUES(18,2,'seconds','22.039');
INSERT INTO "trial_user_attributes" VALUES(19,2,'started','1796071059.3683603');
INSERT INTO "trial_user_attributes" VALUES(20,2,'worker','"host:15916"');
INSERT INTO "trial_user_attributes" VALUES(21,2,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(22,3,'architecture','{"img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 1, "reattention": [], "pools": [{"after": 0, "kernel_size": 3, "stride": 2, "op": "max"}], "head": "token", "stem": "conv", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(23,3,'flops','717952');
INSERT INTO "trial_user_attributes" VALUES(24,3,'params','62058');
INSERT INTO "trial_user_attributes" VALUES(25,3,'seed','1009178997');
INSERT INTO "trial_user_attributes" VALUES(26,3,'error_kind','"exception"');
INSERT INTO "trial_user_attributes" VALUES(27,3,'error','"RuntimeError: a broken layer"');
INSERT INTO "trial_user_attributes" VALUES(28,3,'traceback','"Traceback (most recent call last):\n  File \"search/trainable.py\", line 55, in step\n    return result | self._train_one_epoch()\n                    ^^^^^^^^^^^^^^^^^^^^^^^\n  File \"site-packages/ray/util/tracing/tracing_helper.py\", line 487, in _resume_span\n    return method(self, *_args, **_kwargs)\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"broken.py\", line 8, in _train_one_epoch\n    raise RuntimeError(\"a broken layer\")\nRuntimeError: a broken layer\n"');
INSERT INTO "trial_user_attributes" VALUES(29,3,'curve','[]');
INSERT INTO "trial_user_attributes" VALUES(30,3,'seconds','0.032');
INSERT INTO "trial_user_attributes" VALUES(31,3,'started','1796071081.4268143');
INSERT INTO "trial_user_attributes" VALUES(32,3,'worker','"host:15916"');
INSERT INTO "trial_user_attributes" VALUES(33,3,'state','"failed"');
INSERT INTO "trial_user_attributes" VALUES(34,4,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 32, "depth": 3, "num_heads": 4, "mlp_ratio": 1, "reattention": [0, 1, 2], "pools": [{"after": 2, "kernel_size": 3, "stride": 2, "op": "avg"}], "head": "avg", "stem": "patch", "reattention_scale": true, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(35,4,'flops','358720');
INSERT INTO "trial_user_attributes" VALUES(36,4,'params','20766');
INSERT INTO "trial_user_attributes" VALUES(37,4,'seed','3466196061');
INSERT INTO "trial_user_attributes" VALUES(38,4,'curve','[{"epoch": 1, "train_loss": 2.3003599643707275, "val_loss": 2.2982449531555176, "accuracy": 0.0625, "seconds": 0.04817794500013406, "images_per_second": 1899.4270586078035}, {"epoch": 2, "train_loss": 2.2875900268554688, "val_loss": 2.273541212081909, "accuracy": 0.15625, "seconds": 0.029009657000187872, "images_per_second": 3399.8490785744243}]');
INSERT INTO "trial_user_attributes" VALUES(39,4,'seconds','0.154');
INSERT INTO "trial_user_attributes" VALUES(40,4,'started','1796071081.4850502');
INSERT INTO "trial_user_attributes" VALUES(41,4,'worker','"host:15916"');
INSERT INTO "trial_user_attributes" VALUES(42,4,'state','"complete"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,2,0,0.21875,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,1,489520.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,4,0,0.15625,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,1,358720.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'FAIL','2026-11-30 20:37:08.553586','2026-11-30 20:37:39.309969');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 20:37:39.364660','2026-11-30 20:38:01.407523');
INSERT INTO "trials" VALUES(3,2,1,'FAIL','2026-11-30 20:38:01.424846','2026-11-30 20:38:01.459351');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-30 20:38:01.482003','2026-11-30 20:38:01.639503');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
